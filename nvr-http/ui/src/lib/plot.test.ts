import { describe, expect, it } from "vitest";
import { area, line, niceMax, ticks } from "./plot";
import { offsets, visible } from "./virtual";
import { dayRange, endOf, fieldText, fieldTime, lastDays } from "./days";

describe("axes", () => {
  it("end at round numbers, with three to five lines", () => {
    for (const max of [0.013, 1, 7, 9.99, 24, 99, 100, 101, 12_345, 8.3e11]) {
      const end = niceMax(max);
      expect(end).toBeGreaterThanOrEqual(max);
      expect(end).toBeLessThan(max * 2.01);
      const all = ticks(end);
      expect(all[0]).toBe(0);
      expect(all.at(-1)).toBeCloseTo(end, 6);
      expect(all.length).toBeGreaterThan(2);
      expect(all.length).toBeLessThan(7);
    }
  });
  it("have an end without values", () => {
    expect(niceMax(0)).toBe(1);
    expect(niceMax(0, 24)).toBe(24);
    expect(niceMax(Number.NaN)).toBe(1);
  });
  it("count in units", () => {
    expect(ticks(niceMax(23, 24), 24)).toEqual([0, 12, 24]);
    expect(ticks(niceMax(70, 24), 24)).toEqual([0, 24, 48, 72]);
  });
});

describe("lines", () => {
  const x = (n: number) => n * 10;
  const y = (v: number) => v;
  it("break where there is no value", () => {
    expect(line([1, 2, null, 3], x, y)).toBe("M0 1L10 2M30 3");
    expect(area([1, 2, null, 3], x, y, 9)).toBe("M0 1L10 2L10 9L0 9ZM30 3L30 9L30 9Z");
    expect(line([], x, y)).toBe("");
  });
});

describe("rows that are seen", () => {
  const starts = offsets([30, 60, 60, 30, 60]);
  it("are those that touch the window", () => {
    expect(starts).toEqual([0, 30, 90, 150, 180, 240]);
    expect(visible(starts, 0, 100, 0)).toEqual([0, 3]);
    expect(visible(starts, 95, 100, 0)).toEqual([2, 3]);
    expect(visible(starts, 95, 100, 1)).toEqual([1, 4]);
    expect(visible(starts, 1000, 2000, 0)[1]).toBe(5);
    expect(visible([0], 0, 100)).toEqual([0, 0]);
  });
});

describe("days", () => {
  it("begin at midnight here", () => {
    const day = dayRange("2026-11-28");
    expect(day?.from.getHours()).toBe(0);
    expect(day?.to.getDate()).toBe(29);
    expect(dayRange("28.11.2026")).toBeNull();
  });
  it("end with today", () => {
    const days = lastDays(3, new Date(2026, 2, 1, 12));
    expect(days.map((d) => d.date)).toEqual(["2026-02-27", "2026-02-28", "2026-03-01"]);
    expect(days[0]?.to.getTime()).toBe(days[1]?.from.getTime());
  });
  it("fields hold moments to the second", () => {
    const time = new Date(2026, 10, 28, 14, 3, 22);
    expect(fieldText(time)).toBe("2026-11-28T14:03:22");
    expect(fieldTime(fieldText(time))?.getTime()).toBe(time.getTime());
    expect(fieldTime("")).toBeNull();
    expect(fieldTime("soon")).toBeNull();
    expect(endOf("2026-11-28T14:00:00Z", 1.5)).toBe("2026-11-28T14:00:01.500Z");
  });
});
