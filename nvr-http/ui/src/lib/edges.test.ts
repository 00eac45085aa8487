import { expect, it } from "vitest";
import { sidesOf } from "./edges";

it("tells at which sides there is more", () => {
  const at = (scrollLeft: number, scrollWidth = 300) => sidesOf({ scrollLeft, scrollWidth, clientWidth: 100 });
  expect([at(0), at(50), at(200), at(0, 100)]).toEqual(["end", "start end", "start", ""]);
  expect(at(0.4, 101)).toBe("");
});
