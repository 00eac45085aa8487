import { describe, expect, it } from "vitest";
import { bestColumns, cells, moved, ordered } from "./grid";

describe("grid", () => {
  it("makes pictures as large as they fit", () => {
    expect(bestColumns(1, 1200, 800, 4)).toBe(1);
    expect(bestColumns(2, 1600, 500, 4)).toBe(2);
    expect(bestColumns(2, 360, 700, 4)).toBe(1);
    expect(bestColumns(5, 1600, 900, 4)).toBe(3);
    expect(bestColumns(16, 1600, 900, 4)).toBe(4);
  });
  it("knows how many fit", () => {
    expect(cells("fit", 7)).toBe(7);
    expect(cells("fit", 0)).toBe(1);
    expect(cells("9", 2)).toBe(9);
  });
  it("orders, with new cameras behind", () => {
    const cameras = ["a", "b", "c", "d"].map((id) => ({ id }));
    expect(ordered(cameras, ["c", "gone", "a"]).map((c) => c.id)).toEqual(["c", "a", "b", "d"]);
    expect(moved(["a", "b", "c"], "a", 2)).toEqual(["b", "c", "a"]);
    expect(moved(["a", "b", "c"], "c", -1)).toEqual(["c", "a", "b"]);
  });
});
