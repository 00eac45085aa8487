/** Camera pictures are taken to be this wide. */
const RATIO = 16 / 9;

export type LayoutChoice = "1" | "4" | "9" | "16" | "fit";

/** Columns that make `count` pictures largest in a place of this size. */
export function bestColumns(count: number, width: number, height: number, gap: number): number {
  let best = 1;
  let most = 0;
  for (let columns = 1; columns <= Math.max(1, count); columns++) {
    const rows = Math.ceil(count / columns);
    const cell = (width - gap * (columns - 1)) / columns;
    const tall = (height - gap * (rows - 1)) / rows;
    const size = Math.min(cell, tall * RATIO);
    if (size > most + 0.5) {
      most = size;
      best = columns;
    }
  }
  return best;
}

/** How many cells a layout has, for so many cameras. */
export const cells = (layout: LayoutChoice, cameras: number): number => (layout === "fit" ? Math.max(1, cameras) : Number(layout));

/** The cameras in the order the user gave; those that it does not name, behind. */
export function ordered<T extends { id: string }>(cameras: readonly T[], order: readonly string[]): T[] {
  const place = (id: string) => {
    const n = order.indexOf(id);
    return n < 0 ? order.length : n;
  };
  return cameras.map((camera, n) => ({ camera, n })).sort((a, b) => place(a.camera.id) - place(b.camera.id) || a.n - b.n).map(({ camera }) => camera);
}

/** The list with one element at another's place. */
export function moved(list: readonly string[], id: string, to: number): string[] {
  const rest = list.filter((x) => x !== id);
  rest.splice(Math.max(0, Math.min(to, rest.length)), 0, id);
  return rest;
}
