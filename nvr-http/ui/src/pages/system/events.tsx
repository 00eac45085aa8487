import { useState } from "react";
import { useCameras } from "~/api/cameras";
import { ask } from "~/api/client";
import { useEvents } from "~/api/events";
import type { NvrEvent } from "~/api/types";
import { Button } from "~/components/button";
import { Select } from "~/components/field";
import { Badge, Card, Empty, ErrorNote, Spinner } from "~/components/misc";
import { useT } from "~/i18n";
import { bytes, duration, moment } from "~/lib/format";
import { secondsBetween } from "~/lib/days";
import { usePages } from "~/lib/pages";

const KINDS = ["camera_state", "run_started", "segment_opened", "segment_closed", "segment_recovered", "segment_damaged", "gap_opened", "gap_closed", "storage_fault", "storage_recovered", "storage_hangs", "storage_answers", "footage_deleted", "space_low", "space_recovered", "frames_dropped", "audio_trouble", "config_reloaded", "job_changed", "upload_trouble", "upload_recovered", "backup_made", "backup_failed"] as const;
type Kind = (typeof KINDS)[number];

/** What one looks at together. Files that begin and end are so many that they are left out unless asked for. */
const GROUPS = {
  all: KINDS.filter((k) => k !== "segment_opened" && k !== "segment_closed"),
  trouble: ["gap_opened", "gap_closed", "storage_fault", "storage_recovered", "storage_hangs", "storage_answers", "space_low", "space_recovered", "frames_dropped", "audio_trouble", "segment_damaged", "segment_recovered", "upload_trouble", "upload_recovered", "job_changed", "backup_failed"],
  cameras: ["camera_state", "run_started"],
  files: ["segment_opened", "segment_closed", "segment_recovered", "segment_damaged", "footage_deleted"],
  settings: ["config_reloaded", "backup_made", "backup_failed"],
} satisfies Record<string, Kind[]>;
type Group = keyof typeof GROUPS;

const TONES: Partial<Record<Kind, string>> = { segment_damaged: "bad", gap_opened: "warn", gap_closed: "good", storage_fault: "bad", storage_recovered: "good", storage_hangs: "bad", storage_answers: "good", space_low: "bad", space_recovered: "good", frames_dropped: "warn", audio_trouble: "warn", upload_trouble: "bad", upload_recovered: "good", backup_failed: "bad", segment_recovered: "warn", job_changed: "warn" };

export function Events() {
  const t = useT();
  const cameras = useCameras();
  const [group, setGroup] = useState<Group>("all");
  const [camera, setCamera] = useState("");
  const kinds: Kind[] = GROUPS[group];
  const list = usePages<NvrEvent>(`events ${group} ${camera}`, async (cursor, signal) => {
    const page = await ask<{ events: NvrEvent[]; next: string | null }>("/events", { signal, query: { kind: kinds.join(","), camera: camera || null, limit: 50, cursor } });
    return { items: page.events, next: page.next };
  });
  useEvents(kinds, (event) => {
    if (camera && event.camera !== camera) return;
    // Progress of jobs is theirs; what is kept are failures.
    if (event.kind === "job_changed" && event.detail["state"] !== "failed") return;
    list.change((old) => [event, ...old].slice(0, 500));
  });
  const name = (id: string | null) => (id ? (cameras.data?.find((c) => c.id === id)?.name ?? id) : "");
  return (
    <Card title={t("system.events")} className="events">
      <div className="filters card-filters">
        <Select label={t("system.group")} hideLabel value={group} onChange={(e) => setGroup(e.target.value as Group)}>
          {(Object.keys(GROUPS) as Group[]).map((g) => <option key={g} value={g}>{t(`system.group_${g}`)}</option>)}
        </Select>
        <Select label={t("common.camera")} hideLabel value={camera} onChange={(e) => setCamera(e.target.value)}>
          <option value="">{t("common.all_cameras")}</option>
          {cameras.data?.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
        </Select>
      </div>
      {list.error && !list.items.length ? (
        <ErrorNote error={list.error} onRetry={list.reload} />
      ) : list.items.length ? (
        <div className="event-scroll" tabIndex={0} role="region" aria-label={t("system.events")}>
          <ul>
            {list.items.map((event, n) => {
              const kind = KINDS.find((k) => k === event.kind);
              return (
                <li key={`${event.at} ${event.kind} ${event.camera} ${n}`} className="event">
                  <time className="muted" dateTime={event.at}>{moment(event.at)}</time>
                  <Badge tone={(kind && TONES[kind]) ?? "none"} dot>{kind ? t(`system.kind_${kind}`) : event.kind}</Badge>
                  <span className="event-text">{event.camera && <b>{name(event.camera)} </b>}{about(t, event)}</span>
                </li>
              );
            })}
          </ul>
          {list.more && <div className="list-more"><Button size="small" busy={list.loading} onClick={list.loadMore}>{t("common.more")}</Button></div>}
        </div>
      ) : list.loading ? (
        <div className="center"><Spinner /></div>
      ) : (
        <Empty title={t("common.nothing")} />
      )}
    </Card>
  );
}

/** What an event says beside its kind. */
function about(t: ReturnType<typeof useT>, { kind, at, detail }: NvrEvent): string {
  const text = (key: string) => (typeof detail[key] === "string" ? (detail[key] as string) : "");
  const n = (key: string) => Number(detail[key] ?? 0);
  const cause = (detail["cause"] as { message?: string } | undefined)?.message ?? "";
  switch (kind) {
    case "camera_state": {
      const states = ["stopped", "connecting", "standby", "recording", "stalled", "backing_off", "failed"] as const;
      const to = states.find((s) => s === detail["to"]);
      return `${to ? t(`common.state_${to}`) : text("to")}: ${cause}`;
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
    case "config_reloaded":
      return Array.isArray(detail["changed"]) ? (detail["changed"] as string[]).join(", ") : "";
    case "job_changed":
      return `${text("job_kind")} ${n("job")}: ${text("message")}`;
    case "backup_made":
      return `${text("path")}, ${bytes(n("size_bytes"))}`;
    case "upload_trouble":
    case "upload_recovered":
      return [text("target"), cause].filter(Boolean).join(": ");
    default:
      return cause;
  }
}
