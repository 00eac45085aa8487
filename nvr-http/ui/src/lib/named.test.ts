import { expect, it } from "vitest";
import { moment } from "./format";
import { named } from "./named";

const cameras = [{ id: "cam9", name: "Gate" }, { id: "has", name: "Hall" }];

it("has names for ids, where the recorder has ids", () => {
  const of = (text: string) => named(text, cameras);
  expect(of("cam9: 6 times the connection was lost within 60 min")).toBe("Gate: 6 times the connection was lost within 60 min");
  expect(of("Gate (cam9) is backing off: rtsp://cam9/x: refused")).toBe("Gate is backing off: rtsp://cam9/x: refused");
  expect(of("booking 3 (Delivery) has cam9, has from 2026-05-04T18:00:00Z; booking 4 (cam9) has yard from 2026-05-04T18:00:00.5+02:00"))
    .toBe(`booking 3 (Delivery) has Gate, Hall from ${moment("2026-05-04T18:00:00Z")}; booking 4 (cam9) has yard from ${moment("2026-05-04T18:00:00.5+02:00")}`);
  expect(of("camera cam9 has record = \"off\" now")).toBe("camera Gate has record = \"off\" now");
});

it("leaves what it does not know", () => {
  for (const text of ["the disk of recordings is used to 84 %, more than 80 %", "cam1: it broke", ""]) expect(named(text, cameras)).toBe(text);
  expect(named("cam9: it broke", undefined)).toBe("cam9: it broke");
});
