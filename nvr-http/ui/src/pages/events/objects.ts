// Where in its picture something was found, and with how many others.
import type { Detection } from "~/api/detections";

/** Left, top, width and height in shares of the picture. */
export type Box = readonly [number, number, number, number];

/** Width by height of a small picture in the list, which is filled and cut at its edges. */
const SHOWN = 16 / 9;

/** What the recorder says of an object; of anything else nothing, whatever others send. */
export function objectOf(seen: Detection): { box: Box | null; count: number } {
  const none = { box: null, count: 1 };
  if (seen.kind !== "object" || !seen.data) return none;
  let data: { box?: unknown; count?: unknown } | null;
  try {
    data = JSON.parse(seen.data) as typeof data;
  } catch {
    return none;
  }
  const box = data?.box;
  const share = (n: unknown) => typeof n === "number" && n >= 0 && n <= 1;
  const usable = Array.isArray(box) && box.length === 4 && box.every(share);
  return { box: usable ? (box as unknown as Box) : null, count: typeof data?.count === "number" ? data.count : 1 };
}

/** Where the box is in the small picture, of which only the middle shows when its shape is another one. */
export function framed([x, y, width, height]: Box, aspect: number): { left: string; top: string; width: string; height: string } {
  const across = Math.max(1, aspect / SHOWN);
  const down = Math.max(1, SHOWN / aspect);
  const part = (n: number) => `${Math.round(n * 10_000) / 100}%`;
  return { left: part(x * across - (across - 1) / 2), top: part(y * down - (down - 1) / 2), width: part(width * across), height: part(height * down) };
}
