import { readFileSync } from "node:fs";
import { afterEach, expect, it } from "vitest";
import { LANGUAGES, type Language, language, t } from "~/i18n";
import { causes } from "~/i18n/messages/causes";
import { causeKind, causeLine } from "./cause";

afterEach(() => language.set("en"));

it("every kind of cause that the recorder knows has its words", () => {
  const source = readFileSync("../../nvr-core/src/cause.rs", "utf8");
  const known = [...source.matchAll(/Self::\w+ => "(\w+)"/g)].map((m) => m[1]!);
  const variants = source.slice(source.indexOf("pub enum CauseKind {"), source.indexOf("impl CauseKind {")).match(/^ {4}[A-Z]\w+,$/gm)!;
  expect(known).toHaveLength(variants.length);
  expect(Object.keys(causes.en).sort()).toEqual(known.sort());
  for (const tongue of Object.keys(LANGUAGES) as Language[]) {
    language.set(tongue);
    for (const kind of known) expect(causeKind(t, { kind }), `${kind} in ${tongue}`).toBe((causes[tongue] as Record<string, string>)[kind]);
  }
});

it("says the kind in the language of the page, and what the recorder said", () => {
  const cause = { kind: "unreachable", message: "rtsp://cam: connection refused" };
  expect(causeLine(t, cause)).toBe("Nobody answers at the address: rtsp://cam: connection refused");
  language.set("de");
  expect(causeLine(t, cause)).toBe("Unter der Adresse antwortet niemand: rtsp://cam: connection refused");
  expect(causeLine(t, { kind: "unauthorized", message: "" })).toBe("Benutzer oder Passwort wird abgelehnt");
});

it("does not say twice what the recorder says in the same words", () => {
  expect(causes.en.stream_ended).toBe("The camera ended the stream");
  expect(causeLine(t, { kind: "stream_ended", message: "the camera ended the stream" })).toBe("The camera ended the stream");
  expect(causeLine(t, { kind: "stream_ended", message: "" })).toBe("The camera ended the stream");
});

it("a kind of a newer recorder, or none, leaves the recorder's own words", () => {
  expect(causeLine(t, { kind: "newer", message: "what it is" })).toBe("what it is");
  expect(causeLine(t, { kind: "constructor", message: "what it is" })).toBe("what it is");
  expect(causeLine(t, { message: "what it is" })).toBe("what it is");
  expect(causeLine(t, undefined)).toBe("");
});
