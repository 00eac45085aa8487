// Sums behind the plots.

/** Steps that people count in, with `unit` as one (24 for hours of a day). */
function step(max: number, unit?: number): number {
  if (unit) return unit * (max <= unit ? 0.5 : Math.max(1, Math.ceil(max / unit / 3)));
  const power = 10 ** Math.floor(Math.log10(max / 3));
  return [1, 2, 2.5, 5, 10].map((f) => f * power).find((s) => s * 4.001 >= max) ?? 10 * power;
}

/** The end of an axis that has room for `max`. */
export function niceMax(max: number, unit?: number): number {
  if (!(max > 0)) return unit ?? 1;
  const s = step(max, unit);
  return Math.ceil(max / s - 1e-9) * s;
}

/** Where lines of the axis stand, from 0 to `max`, which is one of `niceMax`. */
export function ticks(max: number, unit?: number): number[] {
  const s = step(max, unit);
  return Array.from({ length: Math.round(max / s) + 1 }, (_, n) => n * s);
}

type Scale = (v: number) => number;
const short = (n: number) => Math.round(n * 10) / 10;

/** A line through values; it breaks where there is none. */
export function line(values: readonly (number | null)[], x: Scale, y: Scale): string {
  let path = "";
  let up = true;
  values.forEach((v, n) => {
    if (v === null) return void (up = true);
    path += `${up ? "M" : "L"}${short(x(n))} ${short(y(v))}`;
    up = false;
  });
  return path;
}

/** What is between such a line and `floor`. */
export function area(values: readonly (number | null)[], x: Scale, y: Scale, floor: number): string {
  let path = "";
  let from = -1;
  for (let n = 0; n <= values.length; n++) {
    const has = n < values.length && values[n] !== null;
    if (has && from < 0) from = n;
    if (has || from < 0) continue;
    const run = values.slice(from, n) as number[];
    const begin = from;
    path += `${line(run, (i) => x(begin + i), y)}L${short(x(n - 1))} ${short(floor)}L${short(x(begin))} ${short(floor)}Z`;
    from = -1;
  }
  return path;
}
