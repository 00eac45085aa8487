// Kinds of events, and what is said of one.
import type { BookingWarning } from "~/api/bookings";
import type { Cause, NvrEvent } from "~/api/types";
import type { useT } from "~/i18n";
import { causeLine } from "~/lib/cause";
import { secondsBetween } from "~/lib/days";
import { bytes, duration } from "~/lib/format";

export const KINDS = ["camera_state", "run_started", "segment_opened", "segment_closed", "segment_recovered", "segment_damaged", "gap_opened", "gap_closed", "storage_fault", "storage_recovered", "storage_hangs", "storage_answers", "footage_deleted", "space_low", "space_recovered", "frames_dropped", "audio_trouble", "config_changed", "config_reloaded", "tier_lost", "tier_back", "push_started", "push_live", "push_down", "push_stopped", "job_changed", "upload_trouble", "upload_recovered", "backup_made", "backup_failed", "booking_changed", "calendar_trouble", "calendar_recovered"] as const;
export type Kind = (typeof KINDS)[number];

export const TONES: Partial<Record<Kind, string>> = { segment_damaged: "bad", gap_opened: "warn", gap_closed: "good", storage_fault: "bad", storage_recovered: "good", storage_hangs: "bad", storage_answers: "good", space_low: "bad", space_recovered: "good", frames_dropped: "warn", audio_trouble: "warn", upload_trouble: "bad", upload_recovered: "good", backup_failed: "bad", tier_lost: "bad", tier_back: "good", push_down: "warn", push_live: "good", segment_recovered: "warn", job_changed: "warn", calendar_trouble: "warn", calendar_recovered: "good" };

/** What an event says beside its kind. */
export function about(t: ReturnType<typeof useT>, { kind, at, detail }: NvrEvent): string {
  const text = (key: string) => (typeof detail[key] === "string" ? (detail[key] as string) : "");
  const n = (key: string) => Number(detail[key] ?? 0);
  const cause = causeLine(t, detail["cause"] as Partial<Cause> | undefined);
  switch (kind) {
    case "camera_state": {
      const states = ["stopped", "connecting", "standby", "recording", "stalled", "backing_off", "failed"] as const;
      const to = states.find((s) => s === detail["to"]);
      const state = to ? t(`common.state_${to}`) : text("to");
      // While all is well there is no cause to be told.
      return to === "recording" || !cause ? state : `${state}: ${cause}`;
    }
    case "segment_opened":
      return text("path");
    case "segment_closed":
      return `${text("path")}, ${duration(n("duration_ns") / 1e9)}, ${bytes(n("size_bytes"))}`;
    case "segment_recovered":
      return `${text("path")}${n("cut_bytes") ? `, −${bytes(n("cut_bytes"))}` : ""}`;
    case "segment_damaged":
      return `${text("path")}: ${text("detail")}`;
    case "gap_closed":
      return `${text("since") ? `${duration(Math.max(0, secondsBetween(text("since"), at)))}, ` : ""}${cause}`;
    case "footage_deleted":
      return t("system.deleted", { n: n("segments"), size: bytes(n("size_bytes")) });
    case "space_low":
    case "space_recovered":
      return t("system.free", { size: bytes(n("available_bytes")) });
    case "frames_dropped":
      return `${t("system.frames", { n: n("count") })}: ${cause}`;
    case "config_changed":
      return [Array.isArray(detail["paths"]) ? (detail["paths"] as string[]).join(", ") : "", text("by")].filter(Boolean).join(" · ");
    case "config_reloaded":
      return Array.isArray(detail["changed"]) ? (detail["changed"] as string[]).join(", ") : "";
    case "job_changed":
      return `${text("job_kind")} ${n("job")}: ${text("message")}`;
    case "backup_made":
      return `${text("path")}, ${bytes(n("size_bytes"))}`;
    case "push_started":
    case "push_live":
    case "push_down":
    case "push_stopped":
      return [text("address"), cause].filter(Boolean).join(": ");
    case "upload_trouble":
    case "upload_recovered":
      return [text("target"), cause].filter(Boolean).join(": ");
    case "booking_changed": {
      const states = ["planned", "recording", "processing", "completed", "failed", "cancelled", "expired"] as const;
      const to = states.find((s) => s === detail["state"]);
      const told = Array.isArray(detail["warnings"]) ? (detail["warnings"] as BookingWarning[]).map((w) => (w.camera ? `${w.camera}: ${w.message}` : w.message)) : [];
      return [`${text("title")}: ${to ? t(`bookings.state_${to}`) : t("bookings.deleted")}`, ...told].join("; ");
    }
    case "calendar_recovered":
      return text("calendar");
    default:
      return cause;
  }
}
