import { describe, expect, it } from "vitest";
import { type Detection, sureOf } from "~/api/detections";
import { framed, objectOf } from "./objects";

const seen = (data: string | null, kind: Detection["kind"] = "object") => ({ kind, data }) as Detection;

it("how sure it is, is told only where that says something", () => {
  const of = (kind: Detection["kind"], score: number | null) => sureOf({ kind, score } as Detection);
  expect([of("object", 0.62), of("motion", 0), of("object", 1), of("external", null)]).toEqual([0.62, 0, null, null]);
  for (const score of [null, 0, 0.5, 1]) expect(of("line", score)).toBeNull();
});

describe("objects", () => {
  it("have a box and a number, if what came says so", () => {
    expect(objectOf(seen('{"box":[0.1,0.2,0.3,0.4],"count":3}'))).toEqual({ box: [0.1, 0.2, 0.3, 0.4], count: 3 });
    for (const wrong of [null, "", "{", "null", "[]", '{"box":[1,2,3,4]}', '{"box":[0,0,"a",0]}', '{"box":[0,0,0]}'])
      expect(objectOf(seen(wrong))).toEqual({ box: null, count: 1 });
    expect(objectOf(seen('{"box":[0,0,1,1]}', "external")).box).toBeNull();
  });
  it("are framed where they are in a picture that is cut", () => {
    expect(framed([0.25, 0.5, 0.5, 0.25], 16 / 9)).toEqual({ left: "25%", top: "50%", width: "50%", height: "25%" });
    // Of a picture of 4 by 3 a quarter of the height is cut.
    expect(framed([0, 0.5, 1, 0.5], 4 / 3)).toEqual({ left: "0%", top: "50%", width: "100%", height: "66.67%" });
    expect(framed([0.5, 0, 0.5, 1], 32 / 9)).toEqual({ left: "50%", top: "0%", width: "100%", height: "100%" });
  });
});
