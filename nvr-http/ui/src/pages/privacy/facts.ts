// What is kept, where and for how long, from the configuration as far as one may see it.
import type { Json, JsonObject } from "~/api/manage";
import type { Camera } from "~/api/types";
import { type Section, entriesOf, valueAt } from "../settings/schema";

/** How long: seconds; `room`: as long as there is room; null when it is not known. */
export type Age = number | "room" | null;

const UNITS: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** `14d`, `1d 12h`, seconds, or `forever`. */
export function readAge(value: Json | undefined): Age {
  if (typeof value === "number") return value;
  if (typeof value !== "string") return null;
  if (value.trim() === "forever") return "room";
  if (/^\d+$/.test(value.trim())) return Number(value);
  let sum = 0;
  let some = false;
  for (const [, n, unit] of value.matchAll(/([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)/g)) {
    sum += Number(n) * (UNITS[unit ?? ""] ?? 0);
    some = true;
  }
  return some ? sum : null;
}

export interface Kept {
  camera: string;
  name: string;
  record: Camera["record"];
  /** Rules for times at which it is recorded in another way. */
  schedule: string | null;
  enabled: boolean;
  /** Whether its sound is recorded now; null when it sends nothing. */
  sound: boolean | null;
  age: Age;
  /** Of footage of events, where it differs. */
  eventAge: Age;
  maxBytes: string | null;
}

/** For each camera what the configuration says, or what is by default. */
export function keptOf(cameras: Camera[], config: JsonObject | null, sections: Section[]): Kept[] {
  const list = sections.find((s) => s.name === "cameras");
  const known = config && list ? new Set(entriesOf(config, list)) : new Set<string>();
  const fallback = (key: string) => sections.find((s) => s.name === "retention")?.fields.find((f) => f.key === key)?.fallback;
  return cameras.map((c) => {
    const own = (key: string) => (config && known.has(c.id) ? valueAt(config, sections, `cameras.${c.id}.${key}`) : undefined);
    const all = (key: string) => (config ? valueAt(config, sections, `retention.${key}`) : undefined);
    const read = (key: string): Json | undefined => own(key) ?? all(key) ?? (config ? fallback(key) : undefined);
    const age = readAge(read("max_age"));
    const size = own("max_bytes");
    return {
      camera: c.id,
      name: c.name,
      record: c.record,
      schedule: c.schedule?.rules ?? null,
      enabled: c.enabled,
      sound: c.tracks ? c.tracks.audio !== null : null,
      age: age ?? (config ? "room" : null),
      eventAge: readAge(own("event_age") ?? all("event_age")),
      maxBytes: size === undefined || size === null ? null : String(size),
    };
  });
}
