// Areas drawn over a camera's picture, between the text of the configuration and the editor. Pure.

/** Keys of a camera that hold areas. A kind whose shapes are open lines would have its entry here. */
export const KINDS = [
  { key: "motion_zones", named: true, sensitive: true },
  { key: "motion_masks", named: false, sensitive: false },
  { key: "privacy_masks", named: true, sensitive: false },
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
  points: readonly Point[];
}

/** Fewest and most corners, and most areas of a kind, as the recorder takes them. */
export const LEAST = 3;
export const MOST = 64;
export const MOST_SHAPES = 32;

const clamp = (n: number): number => Math.min(1, Math.max(0, n));
/** A thousandth of the picture is less than a pixel of most. */
const round = (n: number): number => Math.round(clamp(n) * 1000) / 1000;

export const at = (x: number, y: number): Point => [round(x), round(y)];

let last = 0;
export const fresh = (): number => ++last;

/** Shapes of a text; null where it is not understood, which then stays as it is. */
export function parse(kind: Kind, text: string): Shape[] | null {
  const about = KINDS.find((k) => k.key === kind);
  const shapes: Shape[] = [];
  for (const part of text.split(/[;\n]/).map((p) => p.trim()).filter(Boolean)) {
    const head = about?.named ? /^([^:@]+?)\s*(?:@\s*(\d+)\s*)?:([\s\S]*)$/.exec(part) : /^()()([\s\S]*)$/.exec(part);
    if (!head) return null;
    const points = (head[3] ?? "").trim().split(/\s+/).map((corner): Point => {
      const [x, y, more] = corner.split(",");
      return more !== undefined || !x || !y ? [NaN, NaN] : [Number(x), Number(y)];
    });
    if (points.length < LEAST || points.some((p) => p.some((n) => !(n >= 0 && n <= 1)))) return null;
    shapes.push({ id: fresh(), kind, name: (head[1] ?? "").trim(), sensitivity: head[2] ? Number(head[2]) : null, points });
  }
  return shapes;
}

/** The text of the shapes of a kind; null without any. */
export function write(kind: Kind, shapes: readonly Shape[]): string | null {
  const about = KINDS.find((k) => k.key === kind);
  const texts = shapes.filter((s) => s.kind === kind).map((s) => {
    const corners = s.points.map(([x, y]) => `${x},${y}`).join(" ");
    if (!about?.named) return corners;
    return `${s.name.trim()}${about.sensitive && s.sensitivity !== null ? ` @${s.sensitivity}` : ""}: ${corners}`;
  });
  return texts.length ? texts.join("; ") : null;
}

export type NameMistake = "empty" | "taken" | "signs" | "long";

/** What is wrong with a name, as the recorder would find. */
export function nameMistake(shape: Shape, shapes: readonly Shape[]): NameMistake | null {
  if (!KINDS.find((k) => k.key === shape.kind)?.named) return null;
  const name = shape.name.trim();
  if (!name) return "empty";
  if ([...name].length > 40) return "long";
  if (/[:;@\n]/.test(name)) return "signs";
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

export const moveCorner = (points: readonly Point[], n: number, x: number, y: number): Point[] => points.map((p, i) => (i === n ? at(x, y) : p));

/** Moves all of it, as far as it stays inside. */
export function moveAll(points: readonly Point[], dx: number, dy: number): Point[] {
  const xs = points.map((p) => p[0]);
  const ys = points.map((p) => p[1]);
  const x = Math.min(1 - Math.max(...xs), Math.max(-Math.min(...xs), dx));
  const y = Math.min(1 - Math.max(...ys), Math.max(-Math.min(...ys), dy));
  return points.map((p) => at(p[0] + x, p[1] + y));
}

/** A corner more in the middle of the edge behind corner `n`. */
export function split(points: readonly Point[], n: number): Point[] {
  const a = points[n];
  const b = points[(n + 1) % points.length];
  if (!a || !b || points.length >= MOST) return [...points];
  return [...points.slice(0, n + 1), at((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), ...points.slice(n + 1)];
}

export const withoutCorner = (points: readonly Point[], n: number): Point[] => (points.length <= LEAST ? [...points] : points.filter((_, i) => i !== n));

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
