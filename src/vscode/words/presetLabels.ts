import { l10n, type QuickPickItem, ThemeIcon } from 'vscode';
import type { Preset } from '../../core/presets/preset';
import { plainText } from './plainText';

/** Built-in presets by id, in the user's language. */
const builtIn: Record<string, () => string> = {
  mp3: () => l10n.t('MP3 audio'),
  m4a: () => l10n.t('AAC audio (M4A)'),
  opus: () => l10n.t('Opus audio'),
  flac: () => l10n.t('FLAC audio (lossless)'),
  wav: () => l10n.t('WAV audio (uncompressed)'),
  speech: () => l10n.t('Speech, normalized loudness (MP3)'),
  'speech-recognition': () => l10n.t('Audio for speech recognition (16 kHz mono WAV)'),
  'h264-1080p': () => l10n.t('H.264 video, 1080p (MP4)'),
  'h264-720p': () => l10n.t('H.264 video, 720p (MP4)'),
  'h264-480p': () => l10n.t('H.264 video, 480p (MP4)'),
  'h264-source': () => l10n.t('H.264 video, source size (MP4)'),
  h265: () => l10n.t('H.265 video (MP4)'),
  vp9: () => l10n.t('VP9 video (WebM)'),
  av1: () => l10n.t('AV1 video (MP4)'),
  remux: () => l10n.t('MP4 without re-encoding'),
  thumbnail: () => l10n.t('Thumbnail (JPEG)'),
  'contact-sheet': () => l10n.t('Contact sheet, 4 by 4 (JPEG)'),
  preview: () => l10n.t('Animated preview (GIF)'),
  subtitles: () => l10n.t('Subtitles (SRT)'),
  hls: () => l10n.t('HLS, 720p and 360p (folder)'),
};

const icons = {
  audio: 'unmute',
  video: 'device-camera-video',
  subtitle: 'comment',
  any: 'file-media',
};

/** The name, extension and icon of a preset for a picker. */
export function presetItem({ id, label, extension, needs }: Preset): QuickPickItem {
  return {
    iconPath: new ThemeIcon(icons[needs]),
    label: plainText(presetName({ id, label })),
    description: `.${extension}`,
  };
}

export function presetName({ id, label }: Pick<Preset, 'id' | 'label'>): string {
  return builtIn[id]?.() ?? label;
}
