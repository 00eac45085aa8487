import { expect, test } from "vitest";
import { scoreAt } from "./motion";

test("the score of a moment is that of its part", () => {
  const strip = { from: 1000, to: 2000, scores: [0, null, 0.6, 1] };
  expect(scoreAt(strip, 1000)).toBe(0);
  expect(scoreAt(strip, 1300)).toBeNull();
  expect(scoreAt(strip, 1500)).toBe(0.6);
  expect(scoreAt(strip, 1999)).toBe(1);
  for (const outside of [999, 2000]) expect(scoreAt(strip, outside)).toBeNull();
  expect(scoreAt(undefined, 1500)).toBeNull();
});
