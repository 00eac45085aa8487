import { expect, test } from "vitest";
import { byHour, otherDay } from "./hours";

test("stills are put together by the hour", () => {
  const stills = ["2026-05-04T10:00:00.040Z", "2026-05-04T10:59:59.999Z", "2026-05-04T11:00:00Z"].map((at) => ({ at, size_bytes: 1 }));
  const hours = byHour(stills);
  expect(hours.map((h) => h.stills.map((s) => s.n))).toEqual([[0, 1], [2]]);
  expect(hours[1]!.start - hours[0]!.start).toBe(3_600_000);
  expect(byHour([])).toEqual([]);
});

test("days follow each other over months and years", () => {
  expect(otherDay("2026-03-01", -1)).toBe("2026-02-28");
  expect(otherDay("2026-12-31", 1)).toBe("2027-01-01");
  expect(otherDay("2026-03-29", 1)).toBe("2026-03-30");
});
