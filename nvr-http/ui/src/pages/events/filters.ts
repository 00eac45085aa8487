// What of the events is shown, as the address of the page has it.
import { DETECTION_KINDS, type DetectionKind } from "~/api/detections";
import { fieldTime } from "~/lib/days";

const STORAGE = ["storage_fault", "storage_recovered", "space_low", "space_recovered", "tier_lost", "tier_back", "segment_damaged", "segment_recovered", "footage_deleted"];
const WORK = ["job_changed", "upload_trouble", "upload_recovered", "push_started", "push_live", "push_down", "push_stopped", "backup_made", "backup_failed"];
const SETTINGS = ["config_changed", "config_reloaded"];
const GAPS = ["gap_opened", "gap_closed", "frames_dropped", "audio_trouble"];
const SEEN = ["detection_started"];

/** Kinds of events by what one looks for. States of cameras are so many that they are shown on demand. */
const GROUPS = {
  all: [...SEEN, ...GAPS, ...STORAGE, ...WORK, ...SETTINGS],
  detections: SEEN,
  outages: [...GAPS, "camera_state"],
  storage: STORAGE,
  work: WORK,
  settings: SETTINGS,
} as const satisfies Record<string, readonly string[]>;

export const SEEN_CHOICES = ["detections", ...DETECTION_KINDS] as const;
export const OTHER_CHOICES = ["outages", "storage", "work", "settings"] as const;
export type What = "all" | (typeof SEEN_CHOICES)[number] | (typeof OTHER_CHOICES)[number];

export interface Filters {
  what: What;
  /** Empty: all. */
  camera: string;
  /** As fields of date and time have it, or empty. */
  from: string;
  to: string;
  text: string;
}

export function readFilters(search: string): Filters {
  const q = new URLSearchParams(search);
  const what = q.get("what") as What;
  const time = (name: string) => (fieldTime(q.get(name) ?? "") ? (q.get(name) ?? "") : "");
  const known: readonly string[] = ["all", ...SEEN_CHOICES, ...OTHER_CHOICES];
  return { what: known.includes(what) ? what : "all", camera: q.get("camera") ?? "", from: time("from"), to: time("to"), text: q.get("text") ?? "" };
}

export function writeFilters(f: Filters): string {
  const q = new URLSearchParams();
  if (f.what !== "all") q.set("what", f.what);
  for (const name of ["camera", "from", "to", "text"] as const) if (f[name]) q.set(name, f[name]);
  return q.toString();
}

export const isNarrow = (f: Filters): boolean => writeFilters(f) !== "";

/** What the recorder is asked for. */
export function asked(f: Filters): { kind: string; detection: DetectionKind | null; camera: string | null; from: string | null; to: string | null; text: string | null } {
  const detection = DETECTION_KINDS.find((k) => k === f.what) ?? null;
  const kinds = f.what in GROUPS ? GROUPS[f.what as keyof typeof GROUPS] : SEEN;
  return {
    kind: kinds.join(","),
    detection,
    camera: f.camera || null,
    from: fieldTime(f.from)?.toISOString() ?? null,
    to: fieldTime(f.to)?.toISOString() ?? null,
    text: f.text.trim() || null,
  };
}
