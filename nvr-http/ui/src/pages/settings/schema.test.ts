import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "~/api/manage";
import { type Field, changesOf, check, draftOf, entriesOf, found, idFrom, jsonOf, placeOf, readSchema, title, valueAt } from "./schema";

// The recorder's own.
const sections = readSchema(JSON.parse(readFileSync("../../docs/config.schema.json", "utf8")));
const section = (name: string) => sections.find((s) => s.name === name)!;
const field = (part: string, key: string): Field => section(part).fields.find((f) => f.key === key)!;

const config: JsonObject = {
  recorder: { root: "/srv/nvr" },
  retention: { max_age: "14d" },
  cameras: [{ id: "front.door", source: "rtsp://u:***@h/1", password: "***" }, { id: "yard", source: "test:" }],
};

describe("the schema", () => {
  it("is sections with fields", () => {
    expect(sections.map((s) => s.name)).toEqual(expect.arrayContaining(["recorder", "retention", "cameras", "upload", "http", "log"]));
    expect(section("cameras").entries).toBe("id");
    expect(section("upload").entries).toBe("name");
    expect(section("recorder").entries).toBeNull();
    expect(field("recorder", "root").required).toBe(true);
    expect(field("cameras", "record")).toMatchObject({ kind: "choice", fallback: "continuous" });
    expect(field("cameras", "record").choices.map((c) => c.value)).toEqual(["continuous", "motion", "manual", "off"]);
    expect(field("cameras", "password").secret).toBe(true);
    expect(field("retention", "max_age").kind).toBe("age");
    expect(field("retention", "min_free").kind).toBe("share");
    expect(field("recording", "segment").kind).toBe("duration");
    expect(field("transcode", "enabled").kind).toBe("boolean");
    expect(field("jobs", "max_running")).toMatchObject({ kind: "number", integer: true });
    for (const s of sections) for (const f of s.fields) expect(f.about, `${s.name}.${f.key}`).not.toBe("");
  });
  it("of nonsense is empty", () => {
    expect(readSchema(null)).toEqual([]);
    expect(readSchema({ properties: { a: { $ref: "#/$defs/none" } } })).toMatchObject([{ name: "a", fields: [] }]);
    expect(readSchema({ $defs: { x: { $ref: "#/$defs/x" } }, properties: { a: { $ref: "#/$defs/x" } } })).toHaveLength(1);
  });
});

describe("fields", () => {
  it("are checked before anything is sent", () => {
    expect(check(field("recorder", "root"), "")).toBe("required");
    expect(check(field("recorder", "root"), null)).toBe("required");
    expect(check(field("retention", "max_age"), "two weeks")).toBe("age");
    for (const good of ["14d", "1d 12h", "forever", "3600", ""]) expect(check(field("retention", "max_age"), good)).toBeNull();
    expect(check(field("retention", "min_free"), "5%")).toBeNull();
    expect(check(field("retention", "min_free"), "5 percent")).toBe("share");
    expect(check(field("retention", "max_bytes"), "10 GiB")).toBeNull();
    expect(check(field("recording", "segment"), "forever")).toBe("duration");
    expect(check(field("jobs", "max_running"), "1.5")).toBe("integer");
    expect(check(field("jobs", "max_running"), "-1")).toBe("minimum");
    expect(check(field("jobs", "max_running"), "many")).toBe("number");
    expect(check(field("cameras", "record"), "sometimes")).toBe("choice");
    expect(check(field("cameras", "password"), "${HOME}")).toBe("variable");
    expect(check(field("cameras", "password"), "${CAM}", "${CAM}")).toBeNull();
  });
  it("become values and come from values", () => {
    expect(jsonOf(field("jobs", "max_running"), " 3 ")).toBe(3);
    expect(jsonOf(field("retention", "max_age"), "3600")).toBe(3600);
    expect(jsonOf(field("retention", "max_age"), " 14d ")).toBe("14d");
    expect(jsonOf(field("cameras", "name"), "12")).toBe("12");
    expect(jsonOf(field("cameras", "name"), "  ")).toBeNull();
    const lines = field("cameras", "motion_lines");
    const value = [{ name: "gate", from: [0.1, 0.5], to: [0.9, 0.5] }];
    expect(lines.kind).toBe("list");
    expect(jsonOf(lines, draftOf(lines, value))).toEqual(value);
    expect(jsonOf(lines, " ")).toBeNull();
    expect(check(lines, "[{ name: gate }]")).toBe("list");
    expect(check(lines, "{}")).toBe("list");
    expect(check(lines, "[]")).toBeNull();
    expect(draftOf(field("jobs", "max_running"), 3)).toBe("3");
    expect(draftOf(field("transcode", "enabled"), true)).toBe(true);
    expect(draftOf(field("cameras", "name"), undefined)).toBeNull();
  });
});

describe("paths", () => {
  it("lead to values, also of entries with dots in their ids", () => {
    expect(valueAt(config, sections, "retention.max_age")).toBe("14d");
    expect(valueAt(config, sections, "cameras.front.door.password")).toBe("***");
    expect(valueAt(config, sections, "cameras.none.password")).toBeUndefined();
    expect(placeOf(sections, "cameras.front.door.source")).toMatchObject({ entry: "front.door", key: "source" });
    expect(placeOf(sections, "cameras")).toBeNull();
    expect(placeOf(sections, "cameras.front")).toBeNull();
    expect(placeOf(sections, "nothing.here")).toBeNull();
    expect(entriesOf(config, section("cameras"))).toEqual(["front.door", "yard"]);
    expect(entriesOf(config, section("upload"))).toEqual([]);
  });
  it("and drafts become one change", () => {
    const edits = new Map<string, string | boolean | null>([
      ["retention.max_age", null],
      ["cameras.front.door.name", "Front"],
      ["cameras.front.door.enabled", false],
      ["jobs.max_running", "2"],
    ]);
    expect(changesOf(sections, edits)).toEqual({ retention: { max_age: null }, cameras: { "front.door": { name: "Front", enabled: false } }, jobs: { max_running: 2 } });
  });
});

describe("words", () => {
  it("find fields by name and by what they are about", () => {
    expect(found(section("retention"), field("retention", "max_age"), "max age")).toBe(true);
    expect(found(section("retention"), field("retention", "max_age"), "kept")).toBe(true);
    expect(found(section("retention"), field("retention", "max_age"), "banana")).toBe(false);
  });
  it("of keys and ids", () => {
    expect(title("max_age")).toBe("Max age");
    expect(title("verify_tls")).toBe("Verify TLS");
    expect(idFrom("Vordertür 2 (Süd)")).toBe("vordertuer-2-sued");
    expect(idFrom("Entrée")).toBe("entree");
    expect(idFrom("!!")).toBe("");
  });
});
