import { describe, expect, it } from "vitest";
import { MOST, type Shape, at, begin, change, freeName, moveAll, moveCorner, nameMistake, parse, rectangle, redo, split, undo, withoutCorner, write } from "./model";

const ids = (shapes: Shape[] | null) => shapes?.map(({ id: _, ...rest }) => rest);

describe("areas of a configuration", () => {
  it("are read as the recorder reads them", () => {
    expect(ids(parse("motion_zones", "door: 0.1,0.2 0.4,0.2 0.4,0.9;\n drive way @70: 0,0.5 1,0.5 1,1 0,1;"))).toEqual([
      { kind: "motion_zones", name: "door", sensitivity: null, points: [[0.1, 0.2], [0.4, 0.2], [0.4, 0.9]] },
      { kind: "motion_zones", name: "drive way", sensitivity: 70, points: [[0, 0.5], [1, 0.5], [1, 1], [0, 1]] },
    ]);
    expect(ids(parse("motion_masks", "0,0 0.3,0 0.3,0.05 0,0.05"))?.[0]?.points).toHaveLength(4);
    expect(parse("privacy_masks", " ; ")).toEqual([]);
  });

  it("are written as they were read", () => {
    for (const [kind, text] of [["motion_zones", "door: 0.1,0.2 0.4,0.2 0.4,0.9; drive way @70: 0,0.5 1,0.5 1,1 0,1"], ["motion_masks", "0,0 0.3,0 0.3,0.05; 0.5,0.5 1,0.5 1,1"], ["privacy_masks", "window: 0,0 1,0 1,1"]] as const) {
      expect(write(kind, parse(kind, text) ?? [])).toBe(text);
    }
    expect(write("motion_zones", [])).toBeNull();
  });

  it("stay as they are where they are not understood", () => {
    for (const text of ["0,0 1,0 1,1", "a: 0,0 1,0", "a: 0,0 1,0 1,2", "a: 0,0 1,0 1", "${ZONES}", "a: 0,0 1,0 x,1"]) expect(parse("motion_zones", text), text).toBeNull();
  });
});

describe("editing", () => {
  const square = [at(0, 0), at(0.5, 0), at(0.5, 0.5), at(0, 0.5)];

  it("keeps everything inside of the picture", () => {
    expect(moveCorner(square, 2, 1.7, -3)[2]).toEqual([1, 0]);
    expect(moveAll(square, 0.9, -0.2)).toEqual([[0.5, 0], [1, 0], [1, 0.5], [0.5, 0.5]]);
    for (let n = 0; n < 20; n++) expect(rectangle(n).flat().every((v) => v >= 0 && v <= 1)).toBe(true);
  });

  it("adds and removes corners within what the recorder takes", () => {
    expect(split(square, 3)).toEqual([...square, [0, 0.25]]);
    expect(withoutCorner(square, 0)).toHaveLength(3);
    expect(withoutCorner(square.slice(1), 0)).toHaveLength(3);
    let many = square;
    for (let n = 0; n < 100; n++) many = split(many, 0);
    expect(many).toHaveLength(MOST);
  });

  it("can be taken back and done again", () => {
    const one: Shape = { id: 1, kind: "motion_masks", name: "", sensitivity: null, points: square };
    let h = begin([]);
    h = change(h, [one]);
    h = change(h, [{ ...one, points: moveAll(square, 0.1, 0) }]);
    h = change(h, [{ ...one, points: moveAll(square, 0.2, 0) }], true);
    expect(undo(h).now).toEqual([one]);
    expect(undo(undo(undo(h))).now).toEqual([]);
    expect(redo(undo(h)).now).toEqual(h.now);
    expect(change(undo(h), []).future).toEqual([]);
  });

  it("knows which names cannot be", () => {
    const shape = (id: number, name: string, kind: Shape["kind"] = "privacy_masks"): Shape => ({ id, kind, name, sensitivity: null, points: square });
    const all = [shape(1, "window"), shape(2, "window"), shape(3, " "), shape(4, "a: b"), shape(5, "x".repeat(41)), shape(6, "window", "motion_zones"), shape(7, "", "motion_masks")];
    expect(all.map((s) => nameMistake(s, all))).toEqual(["taken", "taken", "empty", "signs", "long", null, null]);
    expect(freeName("window", "privacy_masks", all)).toBe("window 2");
  });
});
