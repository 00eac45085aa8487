// Days and weeks of the calendar, on the clock here. Pure.

export type View = "month" | "week";

/** The Monday at or before a day. */
export function monday(day: Date): Date {
  return new Date(day.getFullYear(), day.getMonth(), day.getDate() - ((day.getDay() + 6) % 7));
}

/** The days that a view of a day shows: its week, or the weeks that its month touches. */
export function days(view: View, day: Date): Date[] {
  const first = view === "week" ? monday(day) : monday(new Date(day.getFullYear(), day.getMonth(), 1));
  const after = view === "week" ? new Date(first.getFullYear(), first.getMonth(), first.getDate() + 7) : new Date(day.getFullYear(), day.getMonth() + 1, 1);
  const out: Date[] = [];
  // Whole weeks; by the calendar, for days are not all as long.
  for (let n = 0; out.length % 7 !== 0 || n === 0 || at(first, n) < after; n++) out.push(at(first, n));
  return out;
}

const at = (first: Date, n: number) => new Date(first.getFullYear(), first.getMonth(), first.getDate() + n);

/** The day that is shown after one step forwards or backwards. */
export function step(view: View, day: Date, by: 1 | -1): Date {
  return view === "week" ? at(day, 7 * by) : new Date(day.getFullYear(), day.getMonth() + by, 1);
}

/** What of a list takes place on a day. */
export function onDay<T extends { start: string; end: string }>(all: T[], day: Date): T[] {
  const [from, to] = [day.getTime(), at(day, 1).getTime()];
  return all.filter((one) => Date.parse(one.start) < to && Date.parse(one.end) > from);
}

export type Repeat = "once" | "daily" | "workdays" | "weekly" | "other";

const RULES: Record<Exclude<Repeat, "other">, string> = { once: "", daily: "FREQ=DAILY", workdays: "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", weekly: "FREQ=WEEKLY" };

/** What a rule is among those that the form offers by name. */
export function repeatOf(rule: string | null): Repeat {
  const found = (Object.entries(RULES) as [Exclude<Repeat, "other">, string][]).find(([, text]) => text === (rule ?? ""));
  return found ? found[0] : "other";
}

export const ruleOf = (repeat: Repeat, text: string): string => (repeat === "other" ? text.trim() : RULES[repeat]);
