import type { Detection } from "~/api/detections";
import { type View, toX } from "./scale";

/** What lies so close that it is one mark. */
export interface Cluster {
  start: number;
  end: number;
  count: number;
  /** The surest of it. */
  best: Detection;
}

/** Narrowest mark with the room beside it, in pixels. */
const NARROW = 10;

/** Marks for what is in view, by time. */
export function clustered(all: readonly Detection[], view: View, width: number, now = Date.now()): Cluster[] {
  if (!width) return [];
  const out: Cluster[] = [];
  const bands = all
    .map((best) => ({ start: Date.parse(best.from), end: best.to ? Date.parse(best.to) : now, count: 1, best }))
    .filter((b) => b.end >= view.from && b.start <= view.to)
    .sort((a, b) => a.start - b.start);
  for (const band of bands) {
    const last = out.at(-1);
    if (last && toX(view, band.start, width) - toX(view, last.start, width) < NARROW && toX(view, band.end, width) - toX(view, last.end, width) < NARROW) {
      last.count += 1;
      last.end = Math.max(last.end, band.end);
      if ((band.best.score ?? 0) > (last.best.score ?? 0)) last.best = band.best;
    } else out.push({ ...band });
  }
  return out;
}
