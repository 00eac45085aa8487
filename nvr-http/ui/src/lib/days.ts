// Ranges of local time, as the fields of a form have them.

const two = (n: number) => String(n).padStart(2, "0");

/** `2026-11-28`, of the day here. */
export const dateText = (time: Date): string => `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;

/** `2026-11-28T14:03:22`, for a field of date and time. */
export const fieldText = (time: Date): string => `${dateText(time)}T${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;

/** The moment that such a field holds, or null when it holds none. */
export function fieldTime(text: string): Date | null {
  const time = new Date(text);
  return text && !Number.isNaN(time.getTime()) ? time : null;
}

/** A day here from its first moment to the first of the next: 23 or 25 hours where clocks change. */
export function dayRange(date: string): { from: Date; to: Date } | null {
  const parts = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date);
  if (!parts) return null;
  const [year, month, day] = [Number(parts[1]), Number(parts[2]) - 1, Number(parts[3])];
  return { from: new Date(year, month, day), to: new Date(year, month, day + 1) };
}

/** The last `n` days here, today last. */
export function lastDays(n: number, now = new Date()): { date: string; from: Date; to: Date }[] {
  return Array.from({ length: n }, (_, i) => {
    const from = new Date(now.getFullYear(), now.getMonth(), now.getDate() - (n - 1 - i));
    const to = new Date(now.getFullYear(), now.getMonth(), now.getDate() - (n - 2 - i));
    return { date: dateText(from), from, to };
  });
}

/** What lies between two moments, in seconds. */
export const secondsBetween = (from: string, to: string): number => (Date.parse(to) - Date.parse(from)) / 1000;

/** The end of something that begins at `start` and is so long. */
export const endOf = (start: string, seconds: number): string => new Date(Date.parse(start) + seconds * 1000).toISOString();
