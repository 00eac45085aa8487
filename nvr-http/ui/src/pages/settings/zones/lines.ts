// Lines that things may cross: between the list of the configuration and the editor, and their arrows. Pure.
import type { Direction, Point, Shape } from "./model";

/** Height of the usual picture in units of its width, and the shortest line in shares of the width, as the recorder has them. */
const ASPECT = 9 / 16;
const SHORTEST = 0.02;

const DIRECTIONS: readonly Direction[] = ["any", "left_to_right", "right_to_left"];
const KEYS = ["name", "from", "to", "direction"];

export const tooShort = ([a, b]: readonly Point[]): boolean => !a || !b || Math.hypot(b[0] - a[0], (b[1] - a[1]) * ASPECT) < SHORTEST;

function pointOf(value: unknown): Point | null {
  if (!Array.isArray(value) || value.length !== 2) return null;
  const [x, y] = value as unknown[];
  return typeof x === "number" && typeof y === "number" && x >= 0 && x <= 1 && y >= 0 && y <= 1 ? [x, y] : null;
}

/** Lines of a list in JSON; null where it is not understood, which then stays as it is. */
export function readLines(text: string, fresh: () => number): Shape[] | null {
  if (!text.trim()) return [];
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return null;
  }
  if (!Array.isArray(list)) return null;
  const shapes: Shape[] = [];
  for (const one of list as unknown[]) {
    if (!one || typeof one !== "object") return null;
    const { name, from, to, direction = "any" } = one as Record<string, unknown>;
    const [a, b] = [pointOf(from), pointOf(to)];
    const way = DIRECTIONS.find((d) => d === direction);
    if (typeof name !== "string" || !a || !b || !way || Object.keys(one).some((k) => !KEYS.includes(k))) return null;
    shapes.push({ id: fresh(), kind: "motion_lines", name, sensitivity: null, direction: way, points: [a, b] });
  }
  return shapes;
}

/** The list of lines in JSON; null without any. */
export function writeLines(shapes: readonly Shape[]): string | null {
  if (!shapes.length) return null;
  return JSON.stringify(shapes.map(({ name, points: [from, to], direction }) => ({ name: name.trim(), from, to, ...(direction && direction !== "any" ? { direction } : {}) })));
}

/** How long an arrow and its head are, in shares of the picture's height. */
const LONG = 0.11;
const HEAD = 0.035;

/**
 * Arrows across the middle of a line, one for each way that counts, as strokes of points in shares of the picture. `ratio` is
 * its width by its height: an arrow is upright upon its line in the picture as it is seen.
 */
export function arrows({ points, direction = "any" }: Pick<Shape, "points" | "direction">, ratio: number): Point[][] {
  const [a, b] = points;
  if (!a || !b) return [];
  const [dx, dy] = [(b[0] - a[0]) * ratio, b[1] - a[1]];
  const length = Math.hypot(dx, dy);
  if (!length) return [];
  const [ax, ay] = [dx / length, dy / length];
  const middle = [((a[0] + b[0]) / 2) * ratio, (a[1] + b[1]) / 2] as const;
  // As pictures are counted downwards, this is to the right.
  return ([["left_to_right", 1], ["right_to_left", -1]] as const).filter(([way]) => direction === "any" || direction === way).map(([, side]) => {
    const [nx, ny] = [-ay * side, ax * side];
    const point = (along: number, across: number): Point => [(middle[0] + nx * along + ax * across) / ratio, middle[1] + ny * along + ay * across];
    return [point(0, 0), point(LONG, 0), point(LONG - HEAD, HEAD * 0.8), point(LONG, 0), point(LONG - HEAD, -HEAD * 0.8)];
  });
}
