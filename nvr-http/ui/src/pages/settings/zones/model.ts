// Areas and lines drawn over a camera's picture, between the text of the configuration and the editor. Pure.
import { readLines, tooShort, writeLines } from "./lines";

/** Keys of a camera that hold areas or lines, with the fewest and most points, and the most shapes, that the recorder takes. */
export const KINDS = [
  { key: "motion_zones", named: true, sensitive: true, open: false, least: 3, most: 64, shapes: 32 },
  { key: "motion_lines", named: true, sensitive: false, open: true, least: 2, most: 2, shapes: 16 },
  { key: "motion_masks", named: false, sensitive: false, open: false, least: 3, most: 64, shapes: 32 },
  { key: "privacy_masks", named: true, sensitive: false, open: false, least: 3, most: 64, shapes: 32 },
] as const;

export type Kind = (typeof KINDS)[number]["key"];

/** Shares of width and height, from the upper left corner. */
export type Point = readonly [number, number];

export interface Shape {
  id: number;
  kind: Kind;
  name: string;
  /** Of a zone, 1 to 100; null: as for the whole picture. */
  sensitivity: number | null;
  /** Of a line: which ways of crossing count. */
  direction?: Direction;
  points: readonly Point[];
}

/** Left and right are those of who stands at the first point and looks at the second. */
export type Direction = "any" | "left_to_right" | "right_to_left";

export const about = (kind: Kind): (typeof KINDS)[number] => KINDS.find((k) => k.key === kind) ?? KINDS[0];

const clamp = (n: number): number => Math.min(1, Math.max(0, n));
/** A thousandth of the picture is less than a pixel of most. */
const round = (n: number): number => Math.round(clamp(n) * 1000) / 1000;

export const at = (x: number, y: number): Point => [round(x), round(y)];

let last = 0;
export const fresh = (): number => ++last;

/** Shapes of a text; null where it is not understood, which then stays as it is. */
export function parse(kind: Kind, text: string): Shape[] | null {
  const { named, open, least } = about(kind);
  if (open) return readLines(text, fresh);
  const shapes: Shape[] = [];
  for (const part of text.split(/[;\n]/).map((p) => p.trim()).filter(Boolean)) {
    const head = named ? /^([^:@]+?)\s*(?:@\s*(\d+)\s*)?:([\s\S]*)$/.exec(part) : /^()()([\s\S]*)$/.exec(part);
    if (!head) return null;
    const points = (head[3] ?? "").trim().split(/\s+/).map((corner): Point => {
      const [x, y, more] = corner.split(",");
      return more !== undefined || !x || !y ? [NaN, NaN] : [Number(x), Number(y)];
    });
    if (points.length < least || points.some((p) => p.some((n) => !(n >= 0 && n <= 1)))) return null;
    shapes.push({ id: fresh(), kind, name: (head[1] ?? "").trim(), sensitivity: head[2] ? Number(head[2]) : null, points });
  }
  return shapes;
}

/** The text of the shapes of a kind; null without any. */
export function write(kind: Kind, shapes: readonly Shape[]): string | null {
  const { named, sensitive, open } = about(kind);
  const mine = shapes.filter((s) => s.kind === kind);
  if (open) return writeLines(mine);
  const texts = mine.map((s) => {
    const corners = s.points.map(([x, y]) => `${x},${y}`).join(" ");
    if (!named) return corners;
    return `${s.name.trim()}${sensitive && s.sensitivity !== null ? ` @${s.sensitivity}` : ""}: ${corners}`;
  });
  return texts.length ? texts.join("; ") : null;
}

export type ShapeMistake = "empty" | "taken" | "signs" | "long" | "short";

/** What is wrong with a name, or with a line, as the recorder would find. */
export function mistakeOf(shape: Shape, shapes: readonly Shape[]): ShapeMistake | null {
  const { named, open } = about(shape.kind);
  if (!named) return null;
  if (open && tooShort(shape.points)) return "short";
  const name = shape.name.trim();
  if (!name) return "empty";
  if ([...name].length > 40) return "long";
  // Names of areas stand in a text with these signs; those of lines are texts of their own.
  if (!open && /[:;@\n]/.test(name)) return "signs";
  return shapes.some((s) => s.id !== shape.id && s.kind === shape.kind && s.name.trim() === name) ? "taken" : null;
}

/** A name that no other has: `word`, `word 2`, … */
export function freeName(word: string, kind: Kind, shapes: readonly Shape[]): string {
  const taken = new Set(shapes.filter((s) => s.kind === kind).map((s) => s.name.trim()));
  for (let n = 1; ; n++) {
    const name = n === 1 ? word : `${word} ${n}`;
    if (!taken.has(name)) return name;
  }
}

/** A rectangle in the middle, a little further down for each that is there. */
export function rectangle(n: number): Point[] {
  const by = (n % 6) * 0.04;
  return [at(0.35 + by, 0.3 + by), at(0.6 + by, 0.3 + by), at(0.6 + by, 0.6 + by), at(0.35 + by, 0.6 + by)];
}

/** A line in the middle, likewise. */
export function stroke(n: number): Point[] {
  const by = (n % 6) * 0.04;
  return [at(0.3 + by, 0.5 + by), at(0.7 + by, 0.5 + by)];
}

export const moveCorner = (points: readonly Point[], n: number, x: number, y: number): Point[] => points.map((p, i) => (i === n ? at(x, y) : p));

/** Moves all of it, as far as it stays inside. */
export function moveAll(points: readonly Point[], dx: number, dy: number): Point[] {
  const xs = points.map((p) => p[0]);
  const ys = points.map((p) => p[1]);
  const x = Math.min(1 - Math.max(...xs), Math.max(-Math.min(...xs), dx));
  const y = Math.min(1 - Math.max(...ys), Math.max(-Math.min(...ys), dy));
  return points.map((p) => at(p[0] + x, p[1] + y));
}

/** A corner more in the middle of the edge behind corner `n`; at most as many as the kind has. */
export function split({ kind, points }: Shape, n: number): Point[] {
  const a = points[n];
  const b = points[(n + 1) % points.length];
  if (!a || !b || points.length >= about(kind).most) return [...points];
  return [...points.slice(0, n + 1), at((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), ...points.slice(n + 1)];
}

export const withoutCorner = ({ kind, points }: Shape, n: number): Point[] => (points.length <= about(kind).least ? [...points] : points.filter((_, i) => i !== n));

/** What was drawn, with what was before and what was taken back. */
export interface History {
  now: readonly Shape[];
  past: readonly (readonly Shape[])[];
  future: readonly (readonly Shape[])[];
}

const MOST_STEPS = 100;

export const begin = (shapes: readonly Shape[]): History => ({ now: shapes, past: [], future: [] });
/** A change that can be taken back; `same` goes on with the last one, as while something is dragged. */
export const change = (h: History, now: readonly Shape[], same = false): History => ({ now, past: same ? h.past : [...h.past.slice(-MOST_STEPS), h.now], future: [] });
export function undo(h: History): History {
  const before = h.past.at(-1);
  return before ? { now: before, past: h.past.slice(0, -1), future: [h.now, ...h.future] } : h;
}
export function redo(h: History): History {
  const [next, ...rest] = h.future;
  return next ? { now: next, past: [...h.past, h.now], future: rest } : h;
}
