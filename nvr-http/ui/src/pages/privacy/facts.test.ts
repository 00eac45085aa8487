import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "~/api/manage";
import type { Camera } from "~/api/types";
import { readSchema } from "../settings/schema";
import { keptOf, readAge } from "./facts";

const sections = readSchema(JSON.parse(readFileSync("../../docs/config.schema.json", "utf8")));
const camera = (id: string, more: Partial<Camera> = {}) => ({ id, name: id, record: "continuous", schedule: null, enabled: true, tracks: null, ...more }) as Camera;

describe("ages", () => {
  it("are lengths, or as long as there is room", () => {
    expect(readAge("14d")).toBe(14 * 86_400);
    expect(readAge("1d 12h")).toBe(129_600);
    expect(readAge(" 1.5h ")).toBe(5400);
    expect(readAge(60)).toBe(60);
    expect(readAge("60")).toBe(60);
    expect(readAge("forever")).toBe("room");
    for (const nonsense of ["soon", "", null, undefined, {}]) expect(readAge(nonsense as never)).toBeNull();
  });
});

describe("what is kept", () => {
  const cameras = [camera("front", { tracks: { audio: { codec: "aac" } } as never }), camera("yard", { tracks: { audio: null } as never }), camera("gone")];
  it("is by the camera, then by what holds for all", () => {
    const config: JsonObject = { retention: { max_age: "14d", event_age: "60d" }, cameras: [{ id: "front", max_age: "2d", max_bytes: "10 GB" }, { id: "yard" }] };
    expect(keptOf(cameras, config, sections)).toMatchObject([
      { camera: "front", age: 172_800, eventAge: 60 * 86_400, maxBytes: "10 GB", sound: true },
      { camera: "yard", age: 14 * 86_400, maxBytes: null, sound: false },
      { camera: "gone", age: 14 * 86_400, sound: null },
    ]);
  });
  it("is as long as there is room where nothing is said, and not known where one may not look", () => {
    expect(keptOf([camera("a")], { cameras: [] }, sections)[0]?.age).toBe("room");
    expect(keptOf([camera("a")], null, sections)[0]?.age).toBeNull();
  });
});
