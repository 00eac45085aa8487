import { Bell, Cctv, CloudUpload, Plus, Search, Trash2, VectorSquare } from "lucide-react";
import { type ReactNode, Suspense, lazy, useMemo, useState } from "react";
import { useLocation, useSearch } from "wouter";
import { useCameras } from "~/api/cameras";
import { type ApiError, ask, remove, wordsOf } from "~/api/client";
import type { ConfigAnswer } from "~/api/manage";
import { useQuery } from "~/api/query";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select, TextField } from "~/components/field";
import { Card, Empty, PageHead, Spinner, StateBadge } from "~/components/misc";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { AddCamera } from "./add";
import { type Form, useForm } from "./form";
import { Probe } from "./probe";
import { FieldRow, Marked } from "./row";
import { type Section, entriesOf, found, placeOf, readSchema, title } from "./schema";

const ZoneEditor = lazy(() => import("./zones/editor"));

/** Sections in the order in which they are shown; others that the schema has come after them. */
const SECTIONS = ["cameras", "recording", "retention", "detections", "objects", "bookings", "calendar", "stills", "timelapse", "upload", "alerts", "alert_channel", "alert_rule", "mqtt", "transcode", "tier", "jobs", "http", "oidc", "rtsp_server", "recorder", "backup", "log"] as const;

/** Keys of a camera that everybody wants; the others come after them. */
const FIRST = ["name", "source", "sub", "user", "password", "enabled", "record", "schedule", "audio", "max_age", "max_bytes", "priority"];

export default function SettingsPage() {
  const t = useT();
  const [, go] = useLocation();
  const at = new URLSearchParams(useSearch());
  const here = at.get("section") ?? "cameras";
  const entry = at.get("entry");
  const show = (section: string, of?: string | null) => {
    setWords("");
    go(`/settings?${new URLSearchParams({ section, ...(of ? { entry: of } : {}) })}`);
  };
  const [words, setWords] = useState("");
  const [adding, setAdding] = useState(false);
  const [restart, setRestart] = useState<string[]>([]);
  const schema = useQuery("config schema", (signal) => ask<unknown>("/config/schema", { signal }));
  const config = useQuery("config", (signal) => ask<ConfigAnswer>("/config", { signal }), { on: ["config_reloaded"] });
  const sections = useMemo(() => readSchema(schema.data), [schema.data]);
  const form = useForm(sections, config.data, (fresh) => config.change(() => fresh), config.reload);

  const save = async () => {
    try {
      const done = await form.save();
      if (!done) return;
      toast(t("settings.saved"));
      setRestart((old) => [...new Set([...old, ...done.needs_restart])]);
    } catch (e) {
      toastError(e);
    }
  };

  const error = schema.error ?? config.error;
  if (error && !(schema.data && config.data)) {
    return (
      <>
        <PageHead title={t("common.nav_settings")}><Button kind="primary" icon={<Plus size={15} />} onClick={() => setAdding(true)}>{t("settings.add_camera")}</Button></PageHead>
        <Card><Unavailable error={error as ApiError} what={t("settings.absent")} onRetry={() => { void schema.reload(); void config.reload(); }} /></Card>
        {adding && <AddCamera taken={[]} canSub={false} onClose={() => setAdding(false)} onDone={() => setAdding(false)} />}
      </>
    );
  }
  if (!schema.data || !config.data) return <><PageHead title={t("common.nav_settings")} /><div className="center"><Spinner /></div></>;

  const file = config.data.config ?? {};
  const section = sections.find((s) => s.name === here) ?? sections[0];
  const mistakes = [...form.edits.keys()].filter((path) => form.mistake(path)).length;
  const cameraSection = sections.find((s) => s.name === "cameras");
  const taken = cameraSection ? entriesOf(file, cameraSection) : [];
  const place = (name: string) => { const n = (SECTIONS as readonly string[]).indexOf(name); return n < 0 ? SECTIONS.length : n; };
  const sorted = [...sections].sort((a, b) => place(a.name) - place(b.name));
  const badIn = (name: string) => [...form.refused.keys()].some((p) => p.startsWith(`${name}.`));
  return (
    <>
      <PageHead title={t("common.nav_settings")}>
        <div className="search-field"><Search size={15} aria-hidden /><TextField label={t("settings.search")} hideLabel type="search" placeholder={t("settings.search")} value={words} onChange={(e) => setWords(e.target.value)} /></div>
        <Button kind="primary" icon={<Plus size={15} />} onClick={() => setAdding(true)}>{t("settings.add_camera")}</Button>
      </PageHead>
      <div className="settings">
        <nav className="settings-nav" aria-label={t("settings.sections")}>
          {sorted.map((s) => (
            <button key={s.name} type="button" className="nav-link" aria-current={!words && s.name === section?.name ? "true" : undefined} onClick={() => show(s.name)}>
              <span>{sectionName(t, s.name)}</span>
              {badIn(s.name) ? <i className="dot tone-bad" title={t("settings.has_mistakes")} /> : [...form.edits.keys()].some((p) => p.startsWith(`${s.name}.`)) && <i className="dot tone-accent" title={t("settings.has_edits")} />}
            </button>
          ))}
        </nav>
        <div className="settings-select">
          <Select label={t("settings.sections")} hideLabel value={section?.name ?? ""} onChange={(e) => show(e.target.value)}>
            {sorted.map((s) => <option key={s.name} value={s.name}>{sectionName(t, s.name)}</option>)}
          </Select>
        </div>
        <div className="stack settings-main">
          {restart.length > 0 && <div className="note" role="status"><div>{t("settings.needs_restart", { keys: restart.join(", ") })}</div><Button size="small" onClick={() => setRestart([])}>{t("common.close")}</Button></div>}
          {form.state === "conflict" && <div className="note note-bad" role="alert"><div>{t("settings.conflict")}</div></div>}
          {form.others.map((one) => <div key={one.path + one.message} className="note note-bad" role="alert"><div>{one.path && <b>{one.path}: </b>}{wordsOf(one)}</div></div>)}
          {config.data.problems.map((p, n) => <div key={n} className="note"><div>{typeof p === "string" ? p : <>{(p.path ?? p.key) && <b>{p.path ?? p.key}: </b>}{wordsOf(p)}</>}</div></div>)}
          {words ? (
            <Results {...{ sections: sorted, form, words, file }} />
          ) : section?.entries ? (
            <ListSection key={section.name} {...{ section, form, file, entry }} onShow={(of) => show(section.name, of)} onRemoved={() => void config.reload()} onAdd={() => setAdding(true)} />
          ) : section ? (
            <Card title={sectionName(t, section.name)}>
              {section.about && <p className="card-text muted"><Marked text={section.about} /></p>}
              {section.fields.map((f) => <Row key={f.key} {...{ form, path: `${section.name}.${f.key}`, sections }} />)}
            </Card>
          ) : null}
        </div>
      </div>
      {form.edits.size > 0 && (
        <div className="save-bar" role="region" aria-label={t("settings.changes")}>
          <span role="status">{t("settings.changed", { n: form.edits.size })}{mistakes > 0 && <b className="tone-bad"> · {t("settings.mistakes", { n: mistakes })}</b>}{form.refused.size > 0 && <b className="tone-bad"> · {t("settings.refused", { n: form.refused.size })}</b>}</span>
          <span className="row">
            <Button onClick={() => form.discard()}>{t("settings.discard")}</Button>
            <Button kind="primary" busy={form.state === "saving"} disabled={mistakes > 0} onClick={() => void save()}>{t("common.save")}</Button>
          </span>
        </div>
      )}
      {adding && <AddCamera taken={taken} canSub={!!cameraSection?.fields.some((f) => f.key === "sub")} onClose={() => setAdding(false)} onDone={(id) => { setAdding(false); void config.reload(); show("cameras", id); }} />}
    </>
  );
}

function sectionName(t: ReturnType<typeof useT>, name: string): string {
  const known = SECTIONS.find((k) => k === name);
  return known ? t(`settings.section_${known}`) : title(name);
}

function Row({ form, path, sections, place }: { form: Form; path: string; sections: Section[]; place?: string }) {
  const t = useT();
  const field = placeOf(sections, path)?.field;
  if (!field) return null;
  const mistake = form.mistake(path);
  const told = form.refused.get(path);
  const bound = mistake === "minimum" ? field.minimum : field.maximum;
  const error = told?.message ?? (mistake === "minimum" || mistake === "maximum" ? t(`settings.wrong_${mistake}`, { n: bound ?? 0 }) : mistake ? t(`settings.wrong_${mistake}`) : null);
  return <FieldRow field={field} path={path} draft={form.draft(path)} changed={form.edits.has(path)} error={error} hint={told?.hint ?? null} onChange={(draft) => form.set(path, draft)} {...(place ? { place } : {})} />;
}

/** Fields of all sections that fit the words. */
function Results({ sections, form, words, file }: { sections: Section[]; form: Form; words: string; file: ConfigAnswer["config"] }) {
  const t = useT();
  const groups: { section: Section; rows: ReactNode[] }[] = [];
  for (const section of sections) {
    const fields = section.fields.filter((f) => found(section, f, words));
    const places = section.entries ? entriesOf(file, section) : [null];
    const rows = places.flatMap((place) => fields.filter((f) => f.key !== section.entries).map((f) => <Row key={`${place} ${f.key}`} form={form} sections={sections} path={[section.name, place, f.key].filter(Boolean).join(".")} {...(place ? { place } : {})} />));
    if (rows.length) groups.push({ section, rows });
  }
  if (!groups.length) return <Card><Empty icon={<Search size={22} aria-hidden />} title={t("settings.nothing_found")} /></Card>;
  return <>{groups.map(({ section, rows }) => <Card key={section.name} title={sectionName(t, section.name)}>{rows}</Card>)}</>;
}

/** Cameras or upload targets: the list, and one of them. */
function ListSection({ section, form, file, entry, onShow, onRemoved, onAdd }: { section: Section; form: Form; file: ConfigAnswer["config"]; entry: string | null; onShow(entry: string | null): void; onRemoved(): void; onAdd(): void }) {
  const t = useT();
  const live = useCameras();
  const [removing, setRemoving] = useState<string | null>(null);
  const [naming, setNaming] = useState(false);
  const [drawing, setDrawing] = useState<string | null>(null);
  const cameras = section.name === "cameras";
  const fresh = [...new Set([...form.edits.keys()].map((p) => placeOf([section], p)?.entry).filter((e): e is string => !!e))];
  const all = [...new Set([...entriesOf(file, section), ...fresh])];
  const chosen = entry && all.includes(entry) ? entry : null;
  const at = (id: string, key: string) => form.draft(`${section.name}.${id}.${key}`);
  const text = (id: string, key: string) => { const d = at(id, key); return typeof d === "string" ? d : ""; };
  const uploads = section.name === "upload";
  const key = section.entries ?? "id";
  const fields = section.fields.filter((f) => f.key !== key);
  const kinds = fields.find((f) => f.key === "kind")?.choices.map((c) => c.value) ?? null;
  const secondary = cameras ? "source" : kinds ? "kind" : "url";
  const first = cameras ? FIRST.flatMap((k) => fields.filter((f) => f.key === k)) : fields;
  const rest = fields.filter((f) => !first.includes(f));
  return (
    <>
      <Card title={sectionName(t, section.name)} tools={!cameras && <Button size="small" icon={<Plus size={14} />} onClick={() => setNaming(true)}>{t(uploads ? "settings.add_target" : "settings.add_entry")}</Button>}>
        {all.length ? (
          <ul className="entries">
            {all.map((id) => {
              const now = cameras ? live.data?.find((c) => c.id === id) : undefined;
              const bad = [...form.refused.keys()].some((p) => p.startsWith(`${section.name}.${id}.`));
              return (
                <li key={id} data-open={id === chosen || undefined}>
                  <button type="button" className="entry-main" aria-expanded={id === chosen} onClick={() => onShow(id === chosen ? null : id)}>
                    {cameras ? <Cctv size={16} aria-hidden /> : uploads ? <CloudUpload size={16} aria-hidden /> : <Bell size={16} aria-hidden />}
                    <span className="two-lines grow"><b>{(cameras && text(id, "name")) || id}</b><span className="muted">{text(id, secondary)}</span></span>
                    {bad && <i className="dot tone-bad" title={t("settings.has_mistakes")} />}
                    {now && <StateBadge state={now.state} />}
                  </button>
                </li>
              );
            })}
          </ul>
        ) : (
          <Empty title={t(cameras ? "settings.no_cameras" : uploads ? "settings.no_targets" : "settings.no_entries")}>{cameras && <Button kind="primary" onClick={onAdd}>{t("settings.add_camera")}</Button>}</Empty>
        )}
      </Card>
      {chosen && (
        <Card title={<>{(cameras && text(chosen, "name")) || chosen} <span className="muted">{chosen}</span></>} tools={<Button size="small" kind="ghost" className="tone-bad" icon={<Trash2 size={14} />} onClick={() => setRemoving(chosen)}>{t("settings.remove")}</Button>}>
          {cameras && text(chosen, "source") && <div className="card-text"><Probe source={{ source: text(chosen, "source"), user: text(chosen, "user"), password: text(chosen, "password"), ...(entriesOf(file, section).includes(chosen) ? { camera: chosen } : {}) }} /></div>}
          {cameras && entriesOf(file, section).includes(chosen) && <div className="card-text row"><p className="muted grow">{t("zones.open_about")}</p><Button icon={<VectorSquare size={15} />} onClick={() => setDrawing(chosen)}>{t("zones.open")}</Button></div>}
          {first.map((f) => <Row key={f.key} form={form} sections={[section]} path={`${section.name}.${chosen}.${f.key}`} />)}
          {rest.length > 0 && (
            <details className="more-settings" open={rest.some((f) => form.refused.has(`${section.name}.${chosen}.${f.key}`)) || undefined}>
              <summary>{t("settings.more", { n: rest.length })}</summary>
              {rest.map((f) => <Row key={f.key} form={form} sections={[section]} path={`${section.name}.${chosen}.${f.key}`} />)}
            </details>
          )}
        </Card>
      )}
      {drawing && (
        <Suspense>
          <ZoneEditor
            camera={drawing}
            name={text(drawing, "name") || drawing}
            texts={{ motion_zones: text(drawing, "motion_zones"), motion_lines: text(drawing, "motion_lines"), motion_masks: text(drawing, "motion_masks"), privacy_masks: text(drawing, "privacy_masks") }}
            onClose={() => setDrawing(null)}
            onDone={(changes) => {
              form.setAll(changes.map(([key, draft]) => [`${section.name}.${drawing}.${key}`, draft] as const));
              setDrawing(null);
            }}
          />
        </Suspense>
      )}
      {removing && <RemoveEntry {...{ section, form }} entry={removing} name={(cameras && text(removing, "name")) || removing} stored={entriesOf(file, section).includes(removing)} onClose={() => setRemoving(null)} onDone={() => { setRemoving(null); onShow(null); onRemoved(); }} />}
      {naming && <NameTarget taken={all} kinds={kinds} upload={uploads} onClose={() => setNaming(false)} onDone={(name, what) => { setNaming(false); form.set(`${section.name}.${name}.${secondary}`, what); onShow(name); }} />}
    </>
  );
}

function RemoveEntry({ section, form, entry, name, stored, onClose, onDone }: { section: Section; form: Form; entry: string; name: string; stored: boolean; onClose(): void; onDone(): void }) {
  const t = useT();
  const [busy, setBusy] = useState(false);
  const cameras = section.name === "cameras";
  const run = async () => {
    setBusy(true);
    try {
      if (stored) {
        if (cameras) await remove(`/cameras/${encodeURIComponent(entry)}`);
        else await ask("/config", { method: "PATCH", body: { changes: { [section.name]: { [entry]: null } } } });
      }
      form.discard(`${section.name}.${entry}`);
      toast(t("settings.removed", { name }));
      onDone();
    } catch (e) {
      toastError(e);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t("settings.remove_title", { name })} onClose={onClose} actions={<><Button onClick={onClose}>{t("common.cancel")}</Button><Button kind="danger" busy={busy} onClick={() => void run()}>{t("settings.remove")}</Button></>}>
      <p>{t(cameras ? "settings.remove_camera_text" : section.name === "upload" ? "settings.remove_target_text" : "settings.remove_entry_text")}</p>
    </Dialog>
  );
}

/** Name of a new entry, and its kind, or its address where there are no kinds. */
function NameTarget({ taken, kinds, upload, onClose, onDone }: { taken: string[]; kinds: string[] | null; upload: boolean; onClose(): void; onDone(name: string, what: string): void }) {
  const t = useT();
  const [name, setName] = useState("");
  const [url, setUrl] = useState(kinds?.[0] ?? "");
  const [tried, setTried] = useState(false);
  const wrong = !name.trim() ? t("settings.wrong_required") : taken.includes(name.trim()) ? t("settings.taken") : !/^[A-Za-z0-9_-]+$/.test(name.trim()) ? t("settings.wrong_name") : null;
  return (
    <Dialog title={t(upload ? "settings.add_target" : "settings.add_entry")} onClose={onClose} actions={<><Button onClick={onClose}>{t("common.cancel")}</Button><Button kind="primary" onClick={() => { setTried(true); if (!wrong && url.trim()) onDone(name.trim(), url.trim()); }}>{t("settings.go_on")}</Button></>}>
      <TextField label={t("settings.name")} value={name} error={tried ? wrong : null} onChange={(e) => setName(e.target.value)} />
      {kinds && <Select label={t("settings.entry_kind")} value={url} onChange={(e) => setUrl(e.target.value)}>{kinds.map((k) => <option key={k} value={k}>{k}</option>)}</Select>}
      {!kinds && <TextField label={t("settings.target_url")} placeholder={upload ? "s3://bucket/prefix" : "https://"} value={url} error={tried && !url.trim() ? t("settings.wrong_required") : null} onChange={(e) => setUrl(e.target.value)} />}
      {upload && <p className="muted">{t("settings.target_text")}</p>}
    </Dialog>
  );
}
