import { expect, test } from "vitest";
import { days, monday, onDay, repeatOf, ruleOf, step } from "./month";

test("a month is whole weeks from Monday on", () => {
  for (let month = 0; month < 24; month++) {
    const all = days("month", new Date(2026, month, 15));
    expect(all.length % 7).toBe(0);
    expect(all[0]?.getDay()).toBe(1);
    expect(all.filter((d) => d.getMonth() === month % 12).length).toBe(new Date(2026, month + 1, 0).getDate());
    expect(all.every((d) => d.getHours() === 0)).toBe(true);
  }
  expect(days("week", new Date(2026, 2, 29)).map((d) => d.getDate())).toEqual([23, 24, 25, 26, 27, 28, 29]);
  expect(monday(new Date(2026, 4, 4)).getDate()).toBe(4);
  expect(step("month", new Date(2026, 0, 31), 1).getMonth()).toBe(1);
});

test("what goes over midnight is on both days, what ends at midnight is not on the next", () => {
  const one = { start: new Date(2026, 4, 4, 22).toISOString(), end: new Date(2026, 4, 5, 6).toISOString() };
  const two = { start: new Date(2026, 4, 4, 22).toISOString(), end: new Date(2026, 4, 5).toISOString() };
  expect(onDay([one, two], new Date(2026, 4, 4))).toEqual([one, two]);
  expect(onDay([one, two], new Date(2026, 4, 5))).toEqual([one]);
});

test("rules by name", () => {
  for (const rule of ["", "FREQ=DAILY", "FREQ=WEEKLY", "FREQ=MONTHLY;BYDAY=1MO"]) expect(ruleOf(repeatOf(rule), rule)).toBe(rule);
  expect(repeatOf(null)).toBe("once");
});
