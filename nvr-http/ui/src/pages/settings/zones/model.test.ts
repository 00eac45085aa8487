import { describe, expect, it } from "vitest";
import { arrows } from "./lines";
import { type Shape, at, begin, change, freeName, moveAll, moveCorner, mistakeOf, parse, rectangle, redo, split, stroke, undo, withoutCorner, write } from "./model";

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

describe("lines of a configuration", () => {
  const text = '[{"name":"gate: north","from":[0.1,0.5],"to":[0.9,0.5]},{"name":"in","from":[0.5,1],"to":[0.5,0.4],"direction":"left_to_right"}]';

  it("are read and written as the list that they are", () => {
    const lines = parse("motion_lines", text);
    expect(ids(lines)).toEqual([
      { kind: "motion_lines", name: "gate: north", sensitivity: null, direction: "any", points: [[0.1, 0.5], [0.9, 0.5]] },
      { kind: "motion_lines", name: "in", sensitivity: null, direction: "left_to_right", points: [[0.5, 1], [0.5, 0.4]] },
    ]);
    expect(write("motion_lines", lines ?? [])).toBe(text);
    expect([parse("motion_lines", ""), write("motion_lines", [])]).toEqual([[], null]);
  });

  it("stay as they are where they are not understood", () => {
    for (const text of ["{}", "[1]", "gate: 0,0 1,1", '[{"name":"a","from":[0,0]}]', '[{"name":"a","from":[0,0],"to":[1,2]}]', '[{"name":"a","from":[0,0],"to":[1,1],"direction":"up"}]', '[{"name":"a","from":[0,0],"to":[1,1],"more":1}]']) {
      expect(parse("motion_lines", text), text).toBeNull();
    }
  });

  it("are told where they are too short, or of a name that cannot be", () => {
    const line = (id: number, name: string, to: Shape["points"][number]): Shape => ({ id, kind: "motion_lines", name, sensitivity: null, direction: "any", points: [[0.5, 0.5], to] });
    const all = [line(1, "a: b", [0.9, 0.5]), line(2, "b", [0.51, 0.5]), line(3, "c", [0.5, 0.53]), line(4, "d", [0.5, 0.54]), line(5, " ", [0.9, 0.5])];
    expect(all.map((s) => mistakeOf(s, all))).toEqual([null, "short", "short", null, "empty"]);
  });

  it("have arrows the way that counts, upright in the picture as it is seen", () => {
    const ends = (points: Shape["points"], direction: NonNullable<Shape["direction"]>, ratio: number) => arrows({ points, direction }, ratio).map(([from, to]) => [Math.round(((to?.[0] ?? 0) - (from?.[0] ?? 0)) * 1000) / 1000, Math.round(((to?.[1] ?? 0) - (from?.[1] ?? 0)) * 1000) / 1000]);
    const [rightwards, upwards] = [[at(0.1, 0.5), at(0.9, 0.5)], [at(0.5, 1), at(0.5, 0.4)]];
    // As the recorder tells them: of a line to the right, from left to right is downwards; of one upwards, to the right.
    expect(ends(rightwards, "left_to_right", 2)).toEqual([[0, 0.11]]);
    expect(ends(rightwards, "right_to_left", 2)).toEqual([[0, -0.11]]);
    expect(ends(upwards, "left_to_right", 2)).toEqual([[0.055, 0]]);
    expect(ends(upwards, "any", 1)).toEqual([[0.11, 0], [-0.11, 0]]);
    // Upright: a diagonal of a picture that is twice as wide as high.
    const [[x, y] = [0, 0]] = ends([at(0, 0), at(1, 1)], "left_to_right", 2);
    expect((x ?? 0) * 2 * 2 + (y ?? 0) * 1).toBeCloseTo(0, 2);
    expect(arrows({ points: [at(0.5, 0.5), at(0.5, 0.5)] }, 2)).toEqual([]);
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
    const mask = (points: Shape["points"]): Shape => ({ id: 1, kind: "motion_masks", name: "", sensitivity: null, points });
    expect(split(mask(square), 3)).toEqual([...square, [0, 0.25]]);
    expect(withoutCorner(mask(square), 0)).toHaveLength(3);
    expect(withoutCorner(mask(square.slice(1)), 0)).toHaveLength(3);
    let many = square;
    for (let n = 0; n < 100; n++) many = split(mask(many), 0);
    expect(many).toHaveLength(64);
    const line: Shape = { ...mask(stroke(0)), kind: "motion_lines" };
    expect([split(line, 0), withoutCorner(line, 0)]).toEqual([line.points, line.points]);
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
    expect(all.map((s) => mistakeOf(s, all))).toEqual(["taken", "taken", "empty", "signs", "long", null, null]);
    expect(freeName("window", "privacy_masks", all)).toBe("window 2");
  });
});
