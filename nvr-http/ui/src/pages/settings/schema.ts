// The configuration's JSON Schema as fields of a form, and what was typed into them as a change.
import type { Json, JsonObject } from "~/api/manage";

export type Kind = "text" | "number" | "boolean" | "choice" | "duration" | "age" | "size" | "share" | "list";

export interface Field {
  key: string;
  kind: Kind;
  about: string;
  fallback: Json | undefined;
  required: boolean;
  secret: boolean;
  integer: boolean;
  minimum: number | null;
  maximum: number | null;
  pattern: RegExp | null;
  choices: { value: string; about: string }[];
}

export interface Section {
  name: string;
  about: string;
  /** Of a list: the key that tells its entries apart. */
  entries: "id" | "name" | null;
  fields: Field[];
}

/** What stands for a secret that is set. Sent back, it leaves the secret as it is. */
export const KEPT = "***";

const object = (v: unknown): JsonObject => (v && typeof v === "object" && !Array.isArray(v) ? (v as JsonObject) : {});
const string = (v: unknown): string => (typeof v === "string" ? v : "");

export const isSecret = (key: string): boolean => key === "encryption_key" || key === "address" || key === "headers" || /password|secret|token/.test(key);

const UNITS: Record<string, Kind> = { duration: "duration", age: "age", size: "size", "size or percentage": "share" };

export function readSchema(schema: unknown): Section[] {
  const root = object(schema);
  const definitions = object(root["$defs"] ?? root["definitions"]);
  const resolve = (node: Json | undefined): JsonObject => {
    let now = object(node);
    for (let depth = 0; depth < 8 && typeof now["$ref"] === "string"; depth++) {
      now = { ...object(definitions[now["$ref"].split("/").at(-1) ?? ""]), ...Object.fromEntries(Object.entries(now).filter(([k]) => k !== "$ref")) };
    }
    return now;
  };
  return Object.entries(object(root["properties"])).map(([name, node]) => {
    const outer = resolve(node);
    const isList = outer["type"] === "array";
    const inner = isList ? resolve(outer["items"]) : outer;
    const required = new Set(Array.isArray(inner["required"]) ? inner["required"].map(String) : []);
    const properties = Object.entries(object(inner["properties"]));
    return {
      name,
      about: string(inner["description"]),
      entries: isList ? (properties.some(([k]) => k === "id") ? "id" : "name") : null,
      fields: properties.map(([key, value]) => readField(key, resolve(value), required.has(key))),
    };
  });
}

function readField(key: string, node: JsonObject, required: boolean): Field {
  const options = (Array.isArray(node["oneOf"]) ? node["oneOf"] : Array.isArray(node["anyOf"]) ? node["anyOf"] : []).map(object);
  const constants = options.filter((o) => typeof o["const"] === "string");
  const choices = constants.map((o) => ({ value: string(o["const"]), about: string(o["description"]) }));
  if (Array.isArray(node["enum"])) choices.push(...node["enum"].filter((v): v is string => typeof v === "string").map((value) => ({ value, about: "" })));
  const text = options.find((o) => o["type"] === "string" && o["pattern"]) ?? node;
  const type = Array.isArray(node["type"]) ? node["type"].find((x) => x !== "null") : node["type"];
  let kind: Kind = UNITS[string(node["title"])] ?? "text";
  if (type === "array") kind = "list";
  else if (choices.length) kind = "choice";
  else if (type === "boolean") kind = "boolean";
  else if (type === "integer" || type === "number") kind = "number";
  let pattern: RegExp | null = null;
  try {
    if (typeof text["pattern"] === "string") pattern = new RegExp(text["pattern"]);
  } catch {
    // Then the recorder checks it.
  }
  const bound = (name: string) => (typeof node[name] === "number" ? (node[name] as number) : null);
  return { key, kind, about: string(node["description"]), fallback: node["default"], required, secret: isSecret(key), integer: type === "integer", minimum: bound("minimum"), maximum: bound("maximum"), pattern, choices };
}

/** What a field holds while it is edited; null: its default. */
export type Draft = string | boolean | null;

/** What a field shows of a value of the file. */
export function draftOf(field: Field, value: Json | undefined): Draft {
  if (value === undefined || value === null) return null;
  if (field.kind === "boolean") return value === true;
  if (field.kind === "list") return JSON.stringify(value);
  if (Array.isArray(value)) return value.map(String).join(", ");
  return typeof value === "string" ? value : String(value);
}

export type Mistake = "required" | "number" | "integer" | "minimum" | "maximum" | "duration" | "age" | "size" | "share" | "choice" | "pattern" | "variable" | "list";

/** What is wrong with a draft, before the recorder is asked. `before` is what the file has: what stands there may stay. */
export function check(field: Field, draft: Draft, before: Draft = null): Mistake | null {
  if (typeof draft === "boolean") return null;
  if (draft === null || draft.trim() === "") return field.required ? "required" : null;
  if (draft === before) return null;
  const text = draft.trim();
  // Variables would show what is on the recorder's machine; the recorder refuses them from here.
  if (text.includes("${")) return "variable";
  switch (field.kind) {
    case "number": {
      const value = Number(text);
      if (!Number.isFinite(value)) return "number";
      if (field.integer && !Number.isInteger(value)) return "integer";
      if (field.minimum !== null && value < field.minimum) return "minimum";
      if (field.maximum !== null && value > field.maximum) return "maximum";
      return null;
    }
    case "choice":
      return field.choices.some((c) => c.value === text) ? null : "choice";
    case "duration":
    case "age":
    case "size":
    case "share":
      return /^\d+$/.test(text) || !field.pattern || field.pattern.test(text) ? null : field.kind;
    case "list":
      return listOf(text) ? null : "list";
    default:
      return field.pattern && !field.pattern.test(text) ? "pattern" : null;
  }
}

/** A list that was written as JSON. */
function listOf(text: string): Json[] | null {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? (value as Json[]) : null;
  } catch {
    return null;
  }
}

/** What is sent for a draft. */
export function jsonOf(field: Field, draft: Draft): Json {
  if (typeof draft === "boolean") return draft;
  if (draft === null || draft.trim() === "") return null;
  const text = draft.trim();
  if (field.kind === "list") return listOf(text) ?? text;
  if (field.kind === "number" || ((field.kind === "duration" || field.kind === "age" || field.kind === "size" || field.kind === "share") && /^\d+$/.test(text))) return Number(text);
  return text;
}

/** What the file has at `section.key`, or in a list at `section.entry.key`. */
export function valueAt(config: JsonObject, sections: Section[], path: string): Json | undefined {
  const place = placeOf(sections, path);
  if (!place) return undefined;
  const { section, entry, key } = place;
  const part = config[section.name];
  if (!section.entries) return object(part)[key];
  const found = (Array.isArray(part) ? part : []).map(object).find((e) => e[section.entries ?? ""] === entry);
  return found?.[key];
}

/** Where a path leads; ids may have dots in them, keys have none. */
export function placeOf(sections: Section[], path: string): { section: Section; entry: string | null; key: string; field: Field | undefined } | null {
  const first = path.indexOf(".");
  const section = sections.find((s) => s.name === path.slice(0, first));
  if (first < 0 || !section) return null;
  const last = section.entries ? path.lastIndexOf(".") : first;
  if (section.entries && last === first) return null;
  const key = path.slice(last + 1);
  return { section, entry: section.entries ? path.slice(first + 1, last) : null, key, field: section.fields.find((f) => f.key === key) };
}

/** The change that the recorder is asked for. */
export function changesOf(sections: Section[], edits: ReadonlyMap<string, Draft>): JsonObject {
  const all: Record<string, JsonObject> = {};
  for (const [path, draft] of edits) {
    const place = placeOf(sections, path);
    if (!place?.field) continue;
    const part = (all[place.section.name] ??= {});
    const target = place.entry === null ? part : ((part[place.entry] ??= {}) as JsonObject);
    target[place.key] = jsonOf(place.field, draft);
  }
  return all;
}

/** Entries of a list, by the key that tells them apart. */
export const entriesOf = (config: JsonObject, section: Section): string[] =>
  section.entries && Array.isArray(config[section.name]) ? (config[section.name] as Json[]).map((e) => string(object(e)[section.entries ?? ""])).filter(Boolean) : [];

/** Whether a field is one that somebody looks for. */
export function found(section: Section, field: Field, words: string): boolean {
  const text = `${section.name} ${field.key} ${field.key.replaceAll("_", " ")} ${field.about} ${field.choices.map((c) => c.value).join(" ")}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((w) => text.includes(w));
}

/** `max_age` as words. */
export function title(key: string): string {
  const text = key.replaceAll("_", " ");
  return (text.charAt(0).toUpperCase() + text.slice(1)).replace(/\b(id|url|tls|ca|nice|io|ssim|psnr)\b/gi, (w) => (["nice"].includes(w.toLowerCase()) ? w : w.toUpperCase()));
}

/** An id that a name suggests: `Vordertür 2` becomes `vordertuer-2`. */
export function idFrom(name: string): string {
  return name
    .toLowerCase()
    .replaceAll("ä", "ae").replaceAll("ö", "oe").replaceAll("ü", "ue").replaceAll("ß", "ss")
    .normalize("NFD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
}
