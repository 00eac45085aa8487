// What of the recordings is shown, as the address of the page has it.
import type { Segment } from "~/api/types";
import { dayRange } from "~/lib/days";

export const MARKS = ["all", "protected", "event", "transcoded", "remote", "trouble"] as const;
export type Mark = (typeof MARKS)[number];
export type View = "files" | "ranges";

export interface Filters {
  view: View;
  /** Empty: all. */
  camera: string;
  /** `2026-11-28`, or empty: all days. */
  day: string;
  mark: Mark;
}

export function readFilters(search: string): Filters {
  const q = new URLSearchParams(search);
  const mark = q.get("mark") as Mark;
  const day = q.get("day") ?? "";
  return {
    view: q.get("view") === "ranges" ? "ranges" : "files",
    camera: q.get("camera") ?? "",
    day: dayRange(day) ? day : "",
    mark: MARKS.includes(mark) ? mark : "all",
  };
}

export function writeFilters(f: Filters): string {
  const q = new URLSearchParams();
  if (f.view !== "files") q.set("view", f.view);
  if (f.camera) q.set("camera", f.camera);
  if (f.day) q.set("day", f.day);
  if (f.mark !== "all") q.set("mark", f.mark);
  return q.toString();
}

/** Whether a segment has the mark that is looked for. */
export function hasMark(s: Segment, mark: Mark): boolean {
  switch (mark) {
    case "all":
      return true;
    case "protected":
      return s.protected;
    case "event":
      return s.event;
    case "transcoded":
      return s.transcoded;
    case "remote":
      return s.state === "remote";
    case "trouble":
      return s.state === "missing" || s.state === "recovered";
  }
}
