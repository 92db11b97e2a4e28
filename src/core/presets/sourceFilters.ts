import { audioLayout, audioSync, toMono } from './filters/audioFilters';
import { chain } from './filters/filterChain';
import {
  deinterlace,
  fit,
  fitWidth,
  limitFrameRate,
  oneSize,
  readsKeyFrames,
  tonemap,
} from './filters/videoFilters';
import type { FilterName } from './placeholders';
import type { SourceFacts } from './sourceFacts';

/** Clips that are shorter than this get at least one picture, whatever the rate. */
const shortSeconds = 1;

/** The filter of a placeholder for a source; empty if it needs none. */
export function fillFilter(name: FilterName, argument: string | undefined, facts: SourceFacts): string {
  const { preset, media, video, audio } = facts;
  const number = Number(argument);
  switch (name) {
    case 'audioSync':
      return audioSync(audio, media);
    case 'audioLayout':
      return audioLayout(preset, audio);
    case 'mono':
      return toMono(audio);
    case 'deinterlace':
      return deinterlace(media, video, preset.arguments.includes('${keyFrames}'));
    case 'frameRate':
      return limitFrameRate(video);
    case 'fit':
      return fit(number, video);
    case 'fitWidth':
      return fitWidth(number, video);
    case 'fps':
      return samplesAt(argument ?? '1', seconds(facts));
    case 'spread':
      return spread(number, seconds(facts));
    case 'sample':
      return readsKeyFrames(media, video) ? '' : "select='isnan(prev_selected_t)+gte(t-prev_selected_t,1)'";
    case 'tonemap':
      return tonemap(video);
    case 'oneSize':
      return oneSize(video);
  }
}

function seconds({ media, video }: SourceFacts): number | undefined {
  const length = video?.seconds ?? media?.seconds;
  return length !== undefined && length > 0 ? length : undefined;
}

/** This number of pictures per second, and at least one picture. */
function samplesAt(rate: string, length: number | undefined): string {
  return length !== undefined && length >= shortSeconds ? `fps=${rate}` : `fps=fps=${rate}:round=up`;
}

/** Seconds that are assumed for a source of unknown length. */
const unknownSeconds = 160;

/**
 * This number of pictures, evenly distributed over the whole length. If the source has fewer, its last one is repeated.
 */
function spread(count: number, length: number | undefined): string {
  const rate = `${count}/${(length ?? unknownSeconds).toFixed(3)}`;
  return chain(samplesAt(rate, length), `tpad=stop=${count - 1}:stop_mode=clone`);
}
