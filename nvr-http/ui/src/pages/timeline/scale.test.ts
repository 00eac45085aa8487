import { describe, expect, it } from "vitest";
import { DAY, HOUR, MINUTE, SECOND, bounded, centred, marks, panned, span, stepFor, toTime, toX, zoomed } from "./scale";

const NOW = Date.parse("2026-11-28T14:00:00Z");
const view = { from: NOW - HOUR, to: NOW };

describe("scale", () => {
  it("goes from times to pixels and back", () => {
    expect(toX(view, NOW - HOUR / 2, 1000)).toBe(500);
    expect(toTime(view, 250, 1000)).toBe(NOW - 0.75 * HOUR);
  });
  it("zooms around the moment under the pointer", () => {
    const around = NOW - 0.75 * HOUR;
    const near = zoomed(view, 0.5, around, NOW);
    expect(span(near)).toBeCloseTo(HOUR / 2);
    expect(toX(near, around, 1000)).toBeCloseTo(250);
    const back = zoomed(near, 2, around, NOW);
    expect(back.from).toBeCloseTo(view.from);
  });
  it("stays between two seconds and some months, and not far in the future", () => {
    expect(span(zoomed(view, 1e-9, NOW, NOW))).toBe(2 * SECOND);
    expect(span(zoomed(view, 1e9, NOW, NOW))).toBe(100 * DAY);
    expect(panned(view, 10 * DAY, NOW).to).toBeLessThanOrEqual(NOW + HOUR * 0.15 + 1);
    expect(span(panned(view, 10 * DAY, NOW))).toBe(HOUR);
    expect(span(bounded({ from: 0, to: 5 * DAY }, NOW))).toBe(5 * DAY);
    expect(centred(NOW - DAY, HOUR, NOW).from).toBe(NOW - DAY - HOUR / 2);
  });
  it("marks round times that do not crowd", () => {
    expect(stepFor(view, 1000, 80).length).toBe(5 * MINUTE);
    expect(stepFor({ from: NOW - 30 * DAY, to: NOW }, 1000, 80).length).toBe(7 * DAY);
    expect(stepFor({ from: NOW - 10 * SECOND, to: NOW }, 1000, 80).length).toBe(SECOND);
    const found = marks(view, stepFor(view, 1000, 80));
    expect(found).toHaveLength(13);
    for (const time of found) expect(new Date(time).getMinutes() % 5).toBe(0);
  });
  it("marks days at midnight, also those of 23 and 25 hours", () => {
    for (const day of ["2026-03-29", "2026-10-25"]) {
      const noon = Date.parse(`${day}T12:00:00Z`);
      const week = { from: noon - 3 * DAY, to: noon + 3 * DAY };
      const found = marks(week, { length: DAY, unit: "day", count: 1 });
      expect(found).toHaveLength(6);
      for (const time of found) expect(new Date(time).getHours()).toBe(0);
      const hours = marks({ from: noon - DAY, to: noon + DAY }, { length: 6 * HOUR, unit: "hour", count: 6 });
      for (const time of hours) expect(new Date(time).getHours() % 6).toBe(0);
      expect(new Set(hours).size).toBe(hours.length);
    }
  });
});
