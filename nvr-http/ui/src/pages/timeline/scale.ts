/** What part of time is shown, in Unix milliseconds. */
export interface View {
  from: number;
  to: number;
}

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** From a few frames to a quarter of a year. */
const SHORTEST = 2 * SECOND;
const LONGEST = 100 * DAY;

/** How far into the future one can look: room for the newest footage at the right. */
const AFTER = 0.15;

export const span = (view: View): number => view.to - view.from;
export const toX = (view: View, time: number, width: number): number => ((time - view.from) / span(view)) * width;
export const toTime = (view: View, x: number, width: number): number => view.from + (x / width) * span(view);

/** Keeps a view within what makes sense. */
export function bounded(view: View, now: number): View {
  const length = Math.min(LONGEST, Math.max(SHORTEST, span(view)));
  const latest = now + length * AFTER;
  const to = Math.min(view.from + length, latest);
  return { from: to - length, to };
}

/** Shows `factor` times as much, with the moment `around` where it is. */
export function zoomed(view: View, factor: number, around: number, now: number): View {
  const length = Math.min(LONGEST, Math.max(SHORTEST, span(view) * factor));
  const share = (around - view.from) / span(view);
  const from = around - share * length;
  return bounded({ from, to: from + length }, now);
}

export function panned(view: View, by: number, now: number): View {
  return bounded({ from: view.from + by, to: view.to + by }, now);
}

/** A view of a length, with a moment in its middle. */
export function centred(time: number, length: number, now: number): View {
  return bounded({ from: time - length / 2, to: time + length / 2 }, now);
}

export interface Step {
  /** Milliseconds; a month counts 30 days. */
  length: number;
  unit: "second" | "minute" | "hour" | "day" | "month";
  count: number;
}

const STEPS: Step[] = [
  ...[1, 2, 5, 10, 30].map((count): Step => ({ length: count * SECOND, unit: "second", count })),
  ...[1, 2, 5, 10, 30].map((count): Step => ({ length: count * MINUTE, unit: "minute", count })),
  ...[1, 2, 3, 6, 12].map((count): Step => ({ length: count * HOUR, unit: "hour", count })),
  ...[1, 2, 7].map((count): Step => ({ length: count * DAY, unit: "day", count })),
  { length: 30 * DAY, unit: "month", count: 1 },
];

/** The finest step whose marks are at least so many pixels apart. */
export function stepFor(view: View, width: number, apart: number): Step {
  const least = (span(view) / Math.max(1, width)) * apart;
  const last: Step = { length: 30 * DAY, unit: "month", count: 1 };
  return STEPS.find((step) => step.length >= least) ?? last;
}

/** Times of marks in a view: round ones in local time, also where clocks change. */
export function marks(view: View, step: Step): number[] {
  const found: number[] = [];
  const date = new Date(view.from);
  const { unit, count } = step;
  if (unit === "second" || unit === "minute") {
    // Offsets of zones are whole minutes, and of nearly all whole quarters of hours.
    const shift = date.getTimezoneOffset() * MINUTE;
    for (let time = Math.ceil((view.from - shift) / step.length) * step.length + shift; time <= view.to; time += step.length) found.push(time);
    return found;
  }
  date.setMinutes(0, 0, 0);
  if (unit === "hour") date.setHours(Math.floor(date.getHours() / count) * count);
  else date.setHours(0);
  if (unit === "month") date.setDate(1);
  if (unit === "day" && count === 7) date.setDate(date.getDate() - ((date.getDay() + 6) % 7));
  for (let n = 0; date.getTime() <= view.to && n < 1000; n++) {
    const time = date.getTime();
    if (time >= view.from) found.push(time);
    if (unit === "month") date.setMonth(date.getMonth() + 1);
    else if (unit === "day") date.setDate(date.getDate() + count);
    else {
      // By the clock: an hour that comes twice is marked twice, one that is left out not at all.
      const next = new Date(time + count * HOUR);
      const off = next.getHours() % count;
      date.setTime(next.getTime() - (off <= count / 2 ? off : off - count) * HOUR);
    }
  }
  return found;
}
