/** Pixels between cells. */
export const gap = 3;
const minSize = 9;
const maxSize = 96;

export interface GridSize {
  readonly columns: number;
  /** Height of a cell in pixels. Its width is what the columns leave it. */
  readonly height: number;
}

/** The largest cells, about square, with which all nodes fit into the width and, if they can, into the height. */
export function gridSize(cells: number, width: number, height: number): GridSize {
  const minColumns = Math.max(1, Math.ceil((width + gap) / (maxSize + gap)));
  const maxColumns = Math.max(minColumns, Math.floor((width + gap) / (minSize + gap)));
  for (let columns = minColumns; columns <= maxColumns; columns++) {
    const size = (width + gap) / columns - gap;
    const rows = Math.ceil(cells / columns);
    if (rows * (size + gap) <= height) return fit(Math.min(columns, cells), size);
  }
  return fit(Math.min(maxColumns, cells), minSize);
}

function fit(columns: number, size: number): GridSize {
  return { columns: Math.max(columns, 1), height: Math.floor(Math.min(size, maxSize)) };
}
