import { useState } from "react";
import { useCameras } from "~/api/cameras";
import { ask } from "~/api/client";
import { useEvents } from "~/api/events";
import type { NvrEvent } from "~/api/types";
import { Button } from "~/components/button";
import { Select } from "~/components/field";
import { Badge, Card, Empty, ErrorNote, Spinner } from "~/components/misc";
import { useT } from "~/i18n";
import { moment } from "~/lib/format";
import { usePages } from "~/lib/pages";
import { KINDS, type Kind, TONES, about } from "../events/kinds";

/** What one looks at together. Files that begin and end are so many that they are left out unless asked for. */
const GROUPS = {
  all: KINDS.filter((k) => k !== "segment_opened" && k !== "segment_closed"),
  trouble: ["gap_opened", "gap_closed", "storage_fault", "storage_recovered", "storage_hangs", "storage_answers", "space_low", "space_recovered", "tier_lost", "tier_back", "push_down", "frames_dropped", "audio_trouble", "segment_damaged", "segment_recovered", "upload_trouble", "upload_recovered", "job_changed", "backup_failed", "calendar_trouble", "calendar_recovered"],
  bookings: ["booking_changed", "calendar_trouble", "calendar_recovered"],
  cameras: ["camera_state", "run_started"],
  files: ["segment_opened", "segment_closed", "segment_recovered", "segment_damaged", "footage_deleted"],
  settings: ["config_changed", "config_reloaded", "backup_made", "backup_failed"],
} satisfies Record<string, Kind[]>;
type Group = keyof typeof GROUPS;

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
