import type { Track } from '../mediaInfo';

/** An entry of ffprobe's `side_data_list`, of a stream or a frame. */
export type SideData = Readonly<Record<string, unknown>>;

/** Static HDR metadata among ffprobe's side data, and whether there is dynamic metadata; what is incomplete is left out. */
export function hdrMetadata(
  list: readonly SideData[],
): Pick<Track, 'masteringDisplay' | 'contentLight' | 'isHdr10Plus'> {
  const masteringDisplay = list.map(displayOf).find((display) => display !== undefined);
  const light = list.find(({ max_content: content }) => typeof content === 'number');
  const [content, average] = [light?.max_content, light?.max_average];
  const hasLight = isCount(content) && isCount(average) && content > 0;
  return {
    ...(masteringDisplay && { masteringDisplay }),
    ...(hasLight && { contentLight: `${content},${average}` }),
    ...(list.some(isHdr10Plus) && { isHdr10Plus: true }),
  };
}

/** `HDR Dynamic Metadata SMPTE2094-40 (HDR10+)`; ffmpeg 4.4 writes `HDR Dynamic Metadata SMPTE2094-40`. */
function isHdr10Plus({ side_data_type: type }: SideData): boolean {
  return typeof type === 'string' && type.includes('SMPTE2094-40');
}

/** Units of SMPTE ST 2086: 0.00002 of a chromaticity, 0.0001 cd/m² of a luminance. */
const chromaticity = 50_000;
const luminance = 10_000;

function displayOf(data: SideData): string | undefined {
  const units = (name: string, unit: number) => {
    const [, over, under] = /^(\d+)\/(\d+)$/.exec(String(data[name])) ?? [];
    return Math.round((Number(over) / Number(under)) * unit);
  };
  const point = (name: string) => [units(`${name}_x`, chromaticity), units(`${name}_y`, chromaticity)];
  const values = [
    ...[...point('green'), ...point('blue'), ...point('red'), ...point('white_point')],
    ...[units('max_luminance', luminance), units('min_luminance', luminance)],
  ];
  if (!values.every(isCount)) return undefined;
  const [gx, gy, bx, by, rx, ry, wx, wy, max, min] = values;
  return `G(${gx},${gy})B(${bx},${by})R(${rx},${ry})WP(${wx},${wy})L(${max},${min})`;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}
