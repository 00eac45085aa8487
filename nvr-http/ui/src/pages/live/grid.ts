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

/** Narrower than this, pictures beside each other are too small. */
const NARROW = 520;

export interface Place {
  width: number;
  height: number;
  /** The page scrolls, so that there is no height to be filled. */
  scrolls: boolean;
}

/**
 * Columns, and how wide a tile is so that it has the shape of a picture (null: as wide as its column). On the only page of a
 * layout its cameras are as large as they fit, however few they are; `paged` ones keep the size that they have on the other pages.
 */
export function layOut(layout: LayoutChoice, shown: number, paged: boolean, { width, height, scrolls }: Place, gap: number): { columns: number; tile: number | null } {
  if (layout === "1") return { columns: 1, tile: null };
  const side = layout === "fit" ? null : Math.sqrt(Number(layout));
  const few = Math.max(1, shown);
  if (width > 0 && (scrolls || width < NARROW)) {
    const beside = width < NARROW ? (side ? 2 : few > 6 ? 2 : 1) : (side ?? 2);
    return { columns: Math.min(side ?? beside, beside, few), tile: null };
  }
  const [wide, tall] = [width || 1200, height || 700];
  const count = side && paged ? side * side : few;
  const columns = side && paged ? side : bestColumns(count, wide, tall, gap);
  const rows = Math.ceil(count / columns);
  return { columns, tile: Math.floor(Math.min((wide - gap * (columns - 1)) / columns, ((tall - gap * (rows - 1)) / rows) * RATIO)) };
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
