import { describe, expect, it } from "vitest";
import { bestColumns, cells, layOut, moved, ordered } from "./grid";

describe("grid", () => {
  it("makes pictures as large as they fit", () => {
    expect(bestColumns(1, 1200, 800, 4)).toBe(1);
    expect(bestColumns(2, 1600, 500, 4)).toBe(2);
    expect(bestColumns(2, 360, 700, 4)).toBe(1);
    expect(bestColumns(5, 1600, 900, 4)).toBe(3);
    expect(bestColumns(16, 1600, 900, 4)).toBe(4);
  });
  it("gives few cameras in a large layout the shape and the size of pictures", () => {
    const desk = { width: 1208, height: 820, scrolls: false };
    for (const layout of ["4", "9", "16", "fit"] as const) expect(layOut(layout, 4, false, desk, 4), layout).toEqual({ columns: 2, tile: 602 });
    expect(layOut("16", 16, false, desk, 4)).toEqual({ columns: 4, tile: 299 });
    // Rows of pictures of that width fit one below the other.
    for (const shown of [1, 2, 3, 5, 7, 9, 12, 16]) {
      const { columns, tile } = layOut("16", shown, false, desk, 4);
      const rows = Math.ceil(shown / columns);
      expect((tile! * 9 * rows) / 16 + 4 * (rows - 1), String(shown)).toBeLessThanOrEqual(820);
      expect(tile! * columns + 4 * (columns - 1), String(shown)).toBeLessThanOrEqual(1208);
    }
    // The last of several pages: as large as on the others.
    expect(layOut("9", 1, true, desk, 4)).toEqual(layOut("9", 9, true, desk, 4));
    expect(layOut("1", 1, false, desk, 4)).toEqual({ columns: 1, tile: null });
  });
  it("lets pictures be as wide as their columns where the page scrolls", () => {
    const phone = { width: 336, height: 10, scrolls: true };
    expect(layOut("16", 4, false, phone, 4)).toEqual({ columns: 2, tile: null });
    expect(layOut("16", 1, false, phone, 4)).toEqual({ columns: 1, tile: null });
    expect(layOut("fit", 4, false, phone, 4)).toEqual({ columns: 1, tile: null });
    expect(layOut("fit", 8, false, phone, 4)).toEqual({ columns: 2, tile: null });
    expect(layOut("16", 16, false, { width: 650, height: 10, scrolls: true }, 4)).toEqual({ columns: 4, tile: null });
    expect(layOut("fit", 8, false, { width: 650, height: 10, scrolls: true }, 4)).toEqual({ columns: 2, tile: null });
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
