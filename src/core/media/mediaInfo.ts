/**
 * What a probe knows of a media file. Names of codecs, layouts, colors, and fields are ffmpeg's. A member is undefined
 * where the probe could not tell.
 */
export interface MediaInfo {
  /** ffmpeg's name of the demuxer: `mov,mp4,m4a,3gp,3g2,mj2`, `avi`. */
  readonly format?: string;
  readonly tracks: readonly Track[];
  /** Length of the longest track. */
  readonly seconds?: number;
  /** Bytes to upload for a preset that uses audio only, if fewer than the whole file. */
  readonly audioOnlyBytes?: number;
  /** The track kinds that are listed completely; there may be more tracks of other kinds. */
  readonly knows: readonly Track['kind'][];
  readonly chapters?: number;
  /** Four characters or codec names of tracks that are no audio, video or subtitles: `gpmd`, `tmcd`, `ttf`. */
  readonly otherTracks?: readonly string[];
  /** True if the content is encrypted (`encv`, `enca`, FairPlay). */
  readonly isProtected?: boolean;
  /** A transport stream whose audio gets other packet ids, while its video keeps its own. */
  readonly hasOtherAudioIds?: true;
  /** What the file is, if it is not media that can be played. A playlist makes ffmpeg open what it names; a reference does not. */
  readonly instead?:
    | 'text'
    | 'playlist'
    | 'reference'
    | 'lfsPointer'
    | 'sideFile'
    | 'cutOff'
    | 'animatedWebp';
}

export interface Track {
  readonly kind: 'audio' | 'video' | 'subtitle';
  /** ffmpeg's stream index in the input. */
  readonly index?: number;
  /** Id of the packets of a transport stream. */
  readonly packetId?: number;
  readonly codec?: string;
  /** Four characters of the container: `hvc1`, `dvh1`. */
  readonly codecTag?: string;
  /** Language code as the file has it: `eng`, `und`. */
  readonly language?: string;
  readonly title?: string;
  readonly isDefault: boolean;
  readonly isForced?: boolean;
  readonly isHearingImpaired?: boolean;
  /** A cover, which ffmpeg lists as a video track. */
  readonly isAttachedPicture?: boolean;
  /** The file declares it, but has nothing of it: ffmpeg fails, or makes an empty track that players wait for. */
  readonly isEmpty?: boolean;
  /** A cover that has another codec, which is `codec`, than the tags of the file state. */
  readonly isMislabeled?: boolean;
  /** Seconds from the track's first to its last sample; undefined where that is not certain. */
  readonly seconds?: number;
  /** Seconds at which the track begins, relative to the file's own beginning. */
  readonly startSeconds?: number;
  /** The edit list of an MP4 repeats, joins or cuts off parts, which a copy of the track would not. */
  readonly isSpliced?: boolean;
  readonly channels?: number;
  /** `stereo`, `5.1(side)`; undefined if the file names none. */
  readonly channelLayout?: string;
  readonly sampleRate?: number;
  /** `s16`, `s32`, `fltp`. */
  readonly sampleFormat?: string;
  readonly bitsPerSample?: number;
  /** Displayed size: upright and with square pixels. */
  readonly width?: number;
  readonly height?: number;
  /** Size of the coded picture, before rotation and pixel aspect ratio. */
  readonly codedWidth?: number;
  readonly codedHeight?: number;
  /** Degrees, clockwise, by which the picture is turned to be upright. */
  readonly rotation?: number;
  /** Width of a pixel divided by its height. */
  readonly pixelAspectRatio?: number;
  readonly framesPerSecond?: number;
  readonly isVariableFrameRate?: boolean;
  readonly fieldOrder?: 'progressive' | 'tt' | 'bb' | 'tb' | 'bt';
  readonly pixelFormat?: string;
  readonly colorTransfer?: string;
  readonly colorPrimaries?: string;
  readonly colorSpace?: string;
  readonly colorRange?: string;
  readonly dolbyVisionProfile?: number;
  /** The frames have dynamic metadata of HDR10+ (SMPTE ST 2094-40). */
  readonly isHdr10Plus?: boolean;
  /** Display that it was mastered on (SMPTE ST 2086), as x265 takes it: `G(…)B(…)R(…)WP(…)L(max,min)`. */
  readonly masteringDisplay?: string;
  /** MaxCLL and MaxFALL in cd/m²: `1000,400`. */
  readonly contentLight?: string;
  /** Of the first frame: `01:00:00:00`, with `;` before the frames for drop frames. */
  readonly timecode?: string;
}
