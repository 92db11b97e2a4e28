// Runs in the page of playback.test.ts.

/** Plays a file, or a playlist by hls.js, to its end; resolves with the measurements. */
globalThis.play = async (source) => {
  const video = document.querySelector('video');
  const problem = new Promise((resolve) => {
    video.onerror = () => resolve(video.error?.message ?? 'error');
    if (source.endsWith('.m3u8')) {
      const hls = new Hls();
      hls.on(Hls.Events.ERROR, (_, { fatal, details }) => {
        if (fatal) resolve(details);
      });
      hls.loadSource(source);
      hls.attachMedia(video);
    } else {
      video.src = source;
    }
    video.play().catch((error) => resolve(String(error)));
  });
  const ended = new Promise((resolve) => {
    video.onended = () => resolve(undefined);
  });
  const pictures = watch(video);
  const error = await Promise.race([problem, ended]);
  const { changes, brightness } = pictures.stop();
  const seconds = video.currentTime;
  return {
    seconds,
    size: [video.videoWidth, video.videoHeight],
    // A machine that is busy may decode in time, but draw few pictures of it.
    changes: changes < 2 && !error ? await stepped(video) : changes,
    brightness,
    audioBytes: video.webkitAudioDecodedByteCount ?? 0,
    error,
  };
};

/** Counts the pictures that differ between some positions of a video, however long each takes to decode. */
async function stepped(video) {
  const pictures = watch(video, Number.POSITIVE_INFINITY);
  for (const part of [0, 0.25, 0.5, 0.75]) {
    await new Promise((resolve) => {
      video.onseeked = resolve;
      video.currentTime = part * video.duration;
    });
    pictures.draw();
  }
  return pictures.stop().changes;
}

/** Samples a video every 40 ms: counts the pictures that differ, and measures the brightness of the last one. */
function watch(video, everyMs = 40) {
  const [width, height] = [64, 36];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  let last;
  let changes = 0;
  const draw = () => {
    context.drawImage(video, 0, 0, width, height);
    const { data } = context.getImageData(0, 0, width, height);
    const previous = last;
    last = data;
    if (previous?.some((value, index) => Math.abs(value - data[index]) > 24)) changes++;
  };
  const timer = everyMs < Number.POSITIVE_INFINITY ? setInterval(draw, everyMs) : undefined;
  return {
    draw,
    stop() {
      clearInterval(timer);
      draw();
      const colors = last.filter((_, index) => index % 4 !== 3);
      return { changes, brightness: colors.reduce((sum, value) => sum + value, 0) / colors.length };
    },
  };
}
