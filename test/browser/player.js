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
  return {
    seconds: video.currentTime,
    size: [video.videoWidth, video.videoHeight],
    changes,
    brightness,
    audioBytes: video.webkitAudioDecodedByteCount ?? 0,
    error,
  };
};

/** Samples a video every 40 ms: counts the pictures that differ, and measures the brightness of the last one. */
function watch(video) {
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
  const timer = setInterval(draw, 40);
  return {
    stop() {
      clearInterval(timer);
      draw();
      const colors = last.filter((_, index) => index % 4 !== 3);
      return { changes, brightness: colors.reduce((sum, value) => sum + value, 0) / colors.length };
    },
  };
}
