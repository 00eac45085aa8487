import { Cctv, Radar, Usb } from "lucide-react";
import { useState } from "react";
import { ApiError, ask, post, wordsOf } from "~/api/client";
import { isAbsent } from "~/api/manage";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select, TextField } from "~/components/field";
import { Spinner } from "~/components/misc";
import { toast } from "~/components/toast";
import { useT } from "~/i18n";
import { type Found, problemsOf, readFound } from "./discovery";
import { Probe } from "./probe";
import { idFrom } from "./schema";
import { StreamsOf } from "./streams";

/** Adds a camera: one that was found, or by its address; it is tried before it is saved. */
export function AddCamera({ taken, canSub, onClose, onDone }: { taken: string[]; canSub: boolean; onClose(): void; onDone(id: string): void }) {
  const t = useT();
  const [list, setList] = useState<Found[] | null>(null);
  const [looking, setLooking] = useState(false);
  const [lookError, setLookError] = useState<string | null>(null);
  const [form, setForm] = useState({ source: "", sub: "", user: "", password: "", name: "", id: "", record: "continuous", onvif: "" });
  const [service, setService] = useState("");
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [busy, setBusy] = useState(false);
  const set = (part: Partial<typeof form>) => setForm((old) => ({ ...old, ...part }));
  const id = form.id || idFrom(form.name);

  const look = async () => {
    setLooking(true);
    setLookError(null);
    try {
      const answer = await ask<unknown>("/discovery");
      setList(readFound(answer));
      setLookError(problemsOf(answer).join(" ") || null);
    } catch (e) {
      setLookError(isAbsent(e) ? t("settings.discovery_absent") : (e as Error).message || t("common.offline_title"));
    }
    setLooking(false);
  };
  const save = async () => {
    const found: Record<string, string> = {};
    if (!form.source.trim()) found["source"] = t("settings.wrong_required");
    if (!id) found["id"] = t("settings.wrong_required");
    else if (taken.includes(id)) found["id"] = t("settings.taken");
    setErrors(found);
    if (Object.keys(found).length) return;
    setBusy(true);
    try {
      const given = { source: form.source.trim(), sub: form.sub.trim(), user: form.user, password: form.password, name: form.name.trim(), onvif: form.onvif, record: form.record === "continuous" ? "" : form.record };
      await post("/cameras", { id, ...Object.fromEntries(Object.entries(given).filter(([, v]) => v)) });
      toast(t("settings.camera_added", { name: form.name || id }));
      onDone(id);
    } catch (e) {
      const error = e as ApiError;
      const all: Record<string, string> = {};
      for (const one of error.problem?.errors ?? []) all[one.path.split(".").at(-1) ?? ""] = wordsOf(one);
      if (!Object.keys(all).length) all["all"] = isAbsent(e) || error.status === 405 ? t("settings.add_absent") : wordsOf(error) || t("common.offline_title");
      setErrors(all);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={t("settings.add_camera")}
      wide
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button kind="primary" busy={busy} onClick={() => void save()}>{t("settings.add_camera")}</Button>
        </>
      }
    >
      <section className="found" aria-label={t("settings.found")}>
        <div className="row">
          <p className="muted grow">{list ? (list.length ? t("settings.found_n", { n: list.length }) : t("settings.found_none")) : t("settings.discovery_text")}</p>
          <Button icon={<Radar size={15} />} busy={looking} onClick={() => void look()}>{t("settings.look")}</Button>
        </div>
        {looking && <Spinner label={t("settings.looking")} />}
        {lookError && <p className="note">{lookError}</p>}
        {list && list.length > 0 && (
          <ul className="found-list">
            {list.map((one) => (
              <li key={one.key}>
                <button type="button" className="found-one" aria-pressed={form.source === one.source} onClick={() => {
                  setService(one.service);
                  set({ source: one.source, sub: "", onvif: "", name: form.name || one.name });
                }}>
                  {one.device ? <Usb size={16} aria-hidden /> : <Cctv size={16} aria-hidden />}
                  <span><b>{one.name}</b><span className="muted">{[one.model, one.address, one.hint].filter(Boolean).join(" · ")}</span></span>
                </button>
              </li>
            ))}
          </ul>
        )}
      </section>
      <div className="add-grid">
        <div className="stack">
          <TextField label={t("settings.source")} placeholder="rtsp://192.168.1.20/stream1" value={form.source} error={errors["source"]} spellCheck={false} onChange={(e) => set({ source: e.target.value })} />
          <div className="two">
            <TextField label={t("settings.user")} autoComplete="off" value={form.user} error={errors["user"]} onChange={(e) => set({ user: e.target.value })} />
            <TextField label={t("settings.password")} type="password" autoComplete="new-password" value={form.password} error={errors["password"]} onChange={(e) => set({ password: e.target.value })} />
          </div>
          {service && <StreamsOf address={service} user={form.user} password={form.password} chosen={form} onChoose={(streams) => set(canSub ? streams : { ...streams, sub: "" })} />}
          {canSub && <TextField label={t("settings.sub")} hint={t("settings.sub_hint")} value={form.sub} error={errors["sub"]} spellCheck={false} onChange={(e) => set({ sub: e.target.value })} />}
        </div>
        <Probe source={{ source: form.source, user: form.user, password: form.password }} />
      </div>
      <div className="three">
        <TextField label={t("settings.name")} value={form.name} error={errors["name"]} onChange={(e) => set({ name: e.target.value })} />
        <TextField label={t("settings.id")} hint={t("settings.id_hint")} value={form.id} placeholder={id} error={errors["id"]} onChange={(e) => set({ id: e.target.value })} />
        <Select label={t("settings.record")} value={form.record} onChange={(e) => set({ record: e.target.value })}>
          {(["continuous", "motion", "manual", "off"] as const).map((mode) => <option key={mode} value={mode}>{t(`settings.record_${mode}`)}</option>)}
        </Select>
      </div>
      {errors["all"] && <p className="note note-bad" role="alert">{errors["all"]}</p>}
    </Dialog>
  );
}
