import { type AudioSelection, isUsableAudio } from '../media/audioTracks';
import type { MediaInfo, Track } from '../media/mediaInfo';
import type { Preset } from './preset';

/** What the placeholders of one output are chosen from. */
export interface SourceFacts {
  readonly preset: Preset;
  readonly media?: MediaInfo;
  /** The track that ffmpeg's `0:V:0` means: the first video track that is no cover. */
  readonly video?: Track;
  readonly selection: AudioSelection;
  /** The audio tracks of the output; undefined members are not known. */
  readonly audio: readonly Track[];
  /** Major version of the nodes' ffmpeg, if it is known. */
  readonly ffmpegMajor?: number;
}

export function sourceFacts(
  preset: Preset,
  media: MediaInfo | undefined,
  selection: AudioSelection,
): SourceFacts {
  const tracks = media?.tracks ?? [];
  return {
    preset,
    media,
    video: tracks.find(({ kind, isAttachedPicture }) => kind === 'video' && !isAttachedPicture),
    selection,
    audio: selectedTracks(
      tracks.filter(({ kind }) => kind === 'audio'),
      selection,
    ),
  };
}

/** Whether a source is known to have no audio that ffmpeg can decode. */
export function isSilent(media: MediaInfo | undefined): boolean {
  const isAudio = (track: Track) => track.kind === 'audio' && isUsableAudio(track);
  return media?.knows.includes('audio') === true && !media.tracks.some(isAudio);
}

function selectedTracks(tracks: readonly Track[], selection: AudioSelection): readonly Track[] {
  switch (selection.kind) {
    case 'track':
      return tracks.slice(selection.index, selection.index + 1);
    case 'all':
      return tracks.filter((_, index) => selection.indexes?.includes(index) ?? true);
    case 'pair': {
      const left = tracks[selection.indexes[0]];
      return left ? [{ ...left, channels: 2, channelLayout: 'stereo' }] : [];
    }
    case 'mix':
      // Each track is aligned before it is mixed.
      return [{ kind: 'audio', isDefault: true, channels: 2, channelLayout: 'stereo', startSeconds: 0 }];
  }
}
