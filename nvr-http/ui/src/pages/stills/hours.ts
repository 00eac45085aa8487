import type { Still } from "~/api/stills";

export interface Hour {
  /** Its first moment, milliseconds. */
  start: number;
  /** With their places in the whole list. */
  stills: { still: Still; n: number }[];
}

/** Stills by the hours of the clock here, in their order. Hours that come twice are two. */
export function byHour(stills: Still[]): Hour[] {
  const hours: Hour[] = [];
  stills.forEach((still, n) => {
    const time = new Date(still.at);
    const start = time.getTime() - (time.getMinutes() * 60 + time.getSeconds()) * 1000 - time.getMilliseconds();
    const last = hours.at(-1);
    if (last?.start === start) last.stills.push({ still, n });
    else hours.push({ start, stills: [{ still, n }] });
  });
  return hours;
}

/** The day before or after one, both as `2026-11-28`. */
export function otherDay(date: string, days: number): string {
  const [year, month, day] = date.split("-").map(Number) as [number, number, number];
  const time = new Date(Date.UTC(year, month - 1, day + days));
  return time.toISOString().slice(0, 10);
}
