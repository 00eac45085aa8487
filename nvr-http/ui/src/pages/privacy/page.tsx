import { Archive, Clock, Eye, MapPin, Printer, Video } from "lucide-react";
import { type ReactNode, useMemo } from "react";
import { useCameras } from "~/api/cameras";
import { ask } from "~/api/client";
import { type ConfigAnswer, type Share, type Storage, type Target, type Token, type User } from "~/api/manage";
import { usePushes } from "~/api/pushes";
import { useQuery } from "~/api/query";
import { session, useMay } from "~/api/session";
import { Button } from "~/components/button";
import { ErrorNote, PageHead, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { useT } from "~/i18n";
import { bytes, duration, moment, number } from "~/lib/format";
import { useStore } from "~/lib/store";
import { readSchema, valueAt } from "../settings/schema";
import { uploadsIn } from "../storage/sums";
import { type Age, keptOf, readAge } from "./facts";

/** What is kept of whom, where, for how long, and who may see it: what is so, from how the recorder is set up. */
export default function PrivacyPage() {
  const t = useT();
  const admin = useMay("admin");
  const who = useStore(session);
  const cameras = useCameras();
  const pushes = usePushes(useMay("operator"))?.list ?? [];
  const quiet = <T,>(path: string) => (signal: AbortSignal) => ask<T>(path, { signal });
  const storage = useQuery("storage", quiet<Storage>("/storage"));
  const targets = useQuery("upload targets", quiet<Target[]>("/uploads"));
  const schema = useQuery(admin ? "config schema" : null, quiet<unknown>("/config/schema"));
  const config = useQuery(admin ? "config" : null, quiet<ConfigAnswer>("/config"));
  const users = useQuery(admin && who?.auth === "accounts" ? "users" : null, quiet<User[]>("/users"));
  const tokens = useQuery(admin && who?.auth === "accounts" ? "tokens" : null, quiet<Token[]>("/tokens"));
  const shares = useQuery(who?.auth === "accounts" ? "shares" : null, quiet<Share[]>("/shares"));
  const sections = useMemo(() => readSchema(schema.data), [schema.data]);
  const file = config.data?.config ?? null;
  const kept = useMemo(() => keptOf(cameras.data ?? [], schema.data ? file : null, sections), [cameras.data, file, sections, schema.data]);

  if (cameras.error && !cameras.data) return <><PageHead title={t("common.nav_privacy")} /><ErrorNote error={cameras.error} onRetry={() => void cameras.reload()} /></>;
  if (!cameras.data) return <><PageHead title={t("common.nav_privacy")} /><div className="center"><Spinner /></div></>;
  const of = (id: string) => storage.data?.cameras.find((c) => c.camera === id);
  const age = (a: Age) => (a === null ? t("privacy.age_unknown") : a === "room" ? t("privacy.age_room") : duration(a));
  /** An age of the configuration, or what it is by default. */
  function ageOf(path: string): Age {
    const [section, key] = path.split(".");
    return file ? readAge(valueAt(file, sections, path) ?? sections.find((s) => s.name === section)?.fields.find((f) => f.key === key)?.fallback) : null;
  }
  const root = file ? valueAt(file, sections, "recorder.root") : undefined;
  const tier = storage.data?.tier;
  const text = (path: string): string | null => { const v = file ? valueAt(file, sections, path) : undefined; return typeof v === "string" || typeof v === "number" ? String(v) : null; };
  const [movesAfter, auditAge, againAge, allBytes] = [readAge(text("tier.after")), ageOf("http.audit_keep"), readAge(text("retention.transcoded_age")), text("retention.max_bytes")];
  const events = ageOf("recorder.events_keep");
  const active = shares.data?.filter((s) => Date.parse(s.expires) > Date.now()) ?? [];
  // Footage of cameras that are no more is still somebody's picture.
  const gone = storage.data?.cameras.filter((c) => !cameras.data?.some((x) => x.id === c.camera) && c.segments > 0) ?? [];
  return (
    <>
      <PageHead title={t("common.nav_privacy")}><Button icon={<Printer size={15} />} onClick={() => print()}>{t("privacy.print")}</Button></PageHead>
      <article className="privacy">
        <p className="privacy-lead">{t("privacy.lead", { host: location.host, time: moment(Date.now()) })}</p>
        <Part icon={<Video size={16} />} title={t("privacy.what")}>
          <p>{t("privacy.what_text")}</p>
          <Table
            caption={t("privacy.what")}
            rows={kept}
            rowKey={(k) => k.camera}
            empty={<p>{t("settings.no_cameras")}</p>}
            columns={[
              { key: "name", label: t("common.camera"), cell: (k) => <b>{k.name}</b> },
              { key: "when", label: t("privacy.when"), cell: (k) => (k.enabled ? <>{t(`settings.record_${k.record}`)}{k.schedule && <><br /><small>{t("privacy.except", { rules: k.schedule })}</small></>}</> : t("privacy.disabled")) },
              { key: "sound", label: t("recordings.audio"), cell: (k) => (k.sound === null ? "–" : k.sound ? t("privacy.with_sound") : t("privacy.without_sound")) },
              { key: "oldest", label: t("storage.oldest"), cell: (k) => { const o = of(k.camera)?.oldest; return o ? moment(o) : "–"; } },
              { key: "size", label: t("storage.size"), align: "end", cell: (k) => bytes(of(k.camera)?.size_bytes ?? 0) },
            ]}
          />
          {gone.length > 0 && <p>{t("privacy.gone", { n: gone.length, names: gone.map((c) => `${c.camera} (${bytes(c.size_bytes)})`).join(", ") })}</p>}
        </Part>
        <Part icon={<Clock size={16} />} title={t("privacy.how_long")}>
          {config.error || !admin ? <p className="muted">{t("privacy.config_hidden")}</p> : null}
          <ul className="plain-list">
            {kept.map((k) => {
              const left = of(k.camera)?.days_left;
              return (
                <li key={k.camera}>
                  <b>{k.name}:</b> {typeof k.age === "number" ? t("privacy.deleted_after", { age: duration(k.age) }) : age(k.age)}
                  {k.eventAge !== null && k.eventAge !== k.age && ` ${t("privacy.event_age", { age: age(k.eventAge) })}`}
                  {k.maxBytes && ` ${t("privacy.max_bytes", { size: k.maxBytes })}`}
                  {left !== null && left !== undefined && left < 3650 && ` ${t("privacy.room", { age: duration(Math.round(left * 24) * 3600) })}`}
                </li>
              );
            })}
          </ul>
          {againAge !== null && <p>{t("privacy.again_age", { age: age(againAge) })}</p>}
          {allBytes && <p>{t("privacy.all_bytes", { size: allBytes })}</p>}
          <p>{t("privacy.protected")}</p>
        </Part>
        <Part icon={<MapPin size={16} />} title={t("privacy.where")}>
          <p>{typeof root === "string" ? t("privacy.here_at", { root }) : t("privacy.here")}</p>
          {tier && (
            <p>
              {typeof movesAfter === "number" ? t("privacy.second_after", { root: tier.root, age: duration(movesAfter) }) : t("privacy.second", { root: tier.root })}{" "}
              {t("privacy.second_now", { n: tier.segments, size: bytes(tier.size_bytes) })}
              {!tier.reachable && ` ${t("privacy.second_away")}`}
            </p>
          )}
          {targets.data?.length ? (
            <ul className="plain-list">
              {targets.data.map((target) => {
                const done = uploadsIn(target, "done");
                const local = readAge(text(`upload.${target.name}.local_retention`));
                return (
                  <li key={target.name}>
                    <b>{target.name}:</b> {t("privacy.copies", { place: target.place, n: done.segments, size: bytes(done.size_bytes) })}
                    {typeof local === "number" && ` ${t("privacy.local", { age: duration(local) })}`}
                  </li>
                );
              })}
            </ul>
          ) : targets.data ? (
            <p>{t("privacy.no_copies")}</p>
          ) : null}
          {pushes.length > 0 && (
            <ul className="plain-list">
              {pushes.map((p) => <li key={p.id}><b>{cameras.data?.find((c) => c.id === p.camera)?.name ?? p.camera}:</b> {t("privacy.pushed", { place: p.url })}</li>)}
            </ul>
          )}
          <p>{t(targets.data?.length || pushes.length ? "privacy.nothing_else" : "privacy.no_cloud")}</p>
        </Part>
        <Part icon={<Eye size={16} />} title={t("privacy.who")}>
          {who?.auth === "none" ? (
            <p>{t("privacy.open")}</p>
          ) : (
            <>
              <p>{t("privacy.accounts")}</p>
              {users.data ? (
                <ul className="plain-list">
                  {users.data.map((u) => <li key={u.name}><b>{u.name}</b> ({t(`users.role_${u.role}`)}): {u.cameras === null ? t("common.all_cameras") : u.cameras.map((id) => cameras.data?.find((c) => c.id === id)?.name ?? id).join(", ") || t("users.no_camera")}</li>)}
                </ul>
              ) : (
                <p className="muted">{t("privacy.users_hidden")}</p>
              )}
              {tokens.data && <p>{t("privacy.tokens", { n: tokens.data.length })}</p>}
            </>
          )}
          {who?.auth === "accounts" && <p>{active.length ? t("privacy.shares", { n: active.length }) : t("privacy.no_shares")}</p>}
        </Part>
        <Part icon={<Archive size={16} />} title={t("privacy.else")}>
          <ul className="plain-list">
            <li>{events === null ? t("privacy.events") : t("privacy.events_for", { age: age(events) })}</li>
            {who?.auth === "accounts" && <li>{auditAge === null ? t("privacy.audit") : t("privacy.audit_for", { age: age(auditAge) })}</li>}
            <li>{t("privacy.browser")}</li>
            <li>{t("privacy.no_analysis")}</li>
          </ul>
          {storage.data && <p className="muted">{t("privacy.total", { n: number(storage.data.cameras.reduce((sum, c) => sum + c.segments, 0)), size: bytes(storage.data.cameras.reduce((sum, c) => sum + c.size_bytes, 0)) })}</p>}
        </Part>
      </article>
    </>
  );
}

function Part({ icon, title, children }: { icon: ReactNode; title: string; children: ReactNode }) {
  return (
    <section className="card privacy-part">
      <h2><span aria-hidden>{icon}</span>{title}</h2>
      <div className="stack">{children}</div>
    </section>
  );
}
