import { ArrowDown, ArrowLeft, ArrowRight, ArrowUp, House, MapPinPlus, Move, Trash2, ZoomIn, ZoomOut } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { type PtzFacts, type Speed, forgetPreset, goHome, goTo, move, readPtz, savePreset, stop } from "~/api/ptz";
import type { Camera } from "~/api/types";
import { Button } from "~/components/button";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { HOLD_MS, Hold } from "./hold";

const SPEED = 0.6;
const to = (pan: number, tilt: number, zoom = 0): Speed => ({ pan: pan * SPEED, tilt: tilt * SPEED, zoom: zoom * SPEED });
const KEYS: Record<string, Speed> = {
  ArrowUp: to(0, 1),
  ArrowDown: to(0, -1),
  ArrowLeft: to(-1, 0),
  ArrowRight: to(1, 0),
  "+": to(0, 0, 1),
  "-": to(0, 0, -1),
};

/** Over the picture of a camera that can be turned: directions, zoom, places. Nothing where it cannot. */
export default function Ptz({ camera }: { camera: Camera }) {
  const t = useT();
  const [facts, setFacts] = useState<PtzFacts | null>(null);
  const [open, setOpen] = useState(false);
  const id = camera.id;
  useEffect(() => {
    const controller = new AbortController();
    readPtz(id, controller.signal).then(setFacts, () => {});
    return () => controller.abort();
  }, [id]);
  if (!facts || !(facts.turns || facts.zooms)) return null;
  return (
    <div className="ptz" onDoubleClick={(e) => e.stopPropagation()}>
      <Button kind="ghost" className="ptz-open" icon={<Move size={18} />} label={t("ptz.show")} pressed={open} onClick={() => setOpen(!open)} />
      {open && <Pad camera={camera} facts={facts} onFacts={setFacts} />}
    </div>
  );
}

function Pad({ camera, facts, onFacts }: { camera: Camera; facts: PtzFacts; onFacts(facts: PtzFacts): void }) {
  const t = useT();
  const id = camera.id;
  const pad = useRef<HTMLDivElement>(null);
  const hold = useRef<Hold>(null);
  hold.current ??= new Hold((speed) => (speed ? move(id, speed, HOLD_MS) : stop(id)), toastError);
  const [name, setName] = useState<string | null>(null);

  // Whatever ends the holding ends the movement: a page that is left or hidden, a window without focus.
  useEffect(() => {
    const end = () => hold.current?.end();
    window.addEventListener("blur", end);
    window.addEventListener("pagehide", end);
    document.addEventListener("visibilitychange", end);
    pad.current?.focus({ preventScroll: true });
    return () => {
      window.removeEventListener("blur", end);
      window.removeEventListener("pagehide", end);
      document.removeEventListener("visibilitychange", end);
      end();
    };
  }, []);

  const keys = (e: KeyboardEvent) => {
    const speed = KEYS[e.key];
    if (!speed || (e.target as Element).closest("input, select")) return;
    e.preventDefault();
    e.stopPropagation();
    if (!e.repeat) hold.current?.begin(speed);
  };
  const held = (speed: Speed, label: string, icon: React.ReactNode, className: string) => (
    <button
      type="button"
      className={`ptz-key ${className}`}
      aria-label={label}
      title={label}
      onPointerDown={(e) => {
        if (e.button !== 0) return;
        e.currentTarget.setPointerCapture(e.pointerId);
        hold.current?.begin(speed);
      }}
      onPointerUp={() => hold.current?.end()}
      onPointerCancel={() => hold.current?.end()}
      onLostPointerCapture={() => hold.current?.end()}
      onContextMenu={(e) => e.preventDefault()}
      onKeyDown={(e) => {
        if (e.key !== "Enter" && e.key !== " ") return;
        e.preventDefault();
        if (!e.repeat) hold.current?.begin(speed);
      }}
      onKeyUp={() => hold.current?.end()}
      onBlur={() => hold.current?.end()}
    >
      {icon}
    </button>
  );
  const done = (what: Promise<unknown>) => void what.catch(toastError);
  const save = async (text: string) => {
    const preset = await savePreset(id, text);
    onFacts({ ...facts, presets: [...facts.presets.filter((p) => p.token !== preset.token), preset] });
    setName(null);
    toast(t("ptz.saved", { name: text }));
  };
  const forget = async (token: string, of: string) => {
    await forgetPreset(id, token);
    onFacts({ ...facts, presets: facts.presets.filter((p) => p.token !== token) });
    toast(t("ptz.forgotten", { name: of }));
  };
  const [chosen, setChosen] = useState("");
  const preset = facts.presets.find((p) => p.token === chosen);
  return (
    <div ref={pad} className="ptz-pad" role="group" tabIndex={0} aria-label={t("ptz.turn", { camera: camera.name })} onKeyDown={keys} onKeyUp={() => hold.current?.end()} onBlur={(e) => e.currentTarget.contains(e.relatedTarget) || hold.current?.end()}>
      <div className="ptz-keys">
        {facts.turns && (
          <>
            {held(to(0, 1), t("ptz.up"), <ArrowUp size={18} />, "ptz-up")}
            {held(to(-1, 0), t("ptz.left"), <ArrowLeft size={18} />, "ptz-left")}
            {facts.home && <button type="button" className="ptz-key ptz-home" aria-label={t("ptz.home")} title={t("ptz.home")} onClick={() => done(goHome(id))}><House size={16} /></button>}
            {held(to(1, 0), t("ptz.right"), <ArrowRight size={18} />, "ptz-right")}
            {held(to(0, -1), t("ptz.down"), <ArrowDown size={18} />, "ptz-down")}
          </>
        )}
        {facts.zooms && held(to(0, 0, 1), t("ptz.closer"), <ZoomIn size={18} />, "ptz-in")}
        {facts.zooms && held(to(0, 0, -1), t("ptz.farther"), <ZoomOut size={18} />, "ptz-out")}
      </div>
      {(facts.presets.length > 0 || facts.max_presets > 0) && (
        <div className="ptz-places">
          <select
            aria-label={t("ptz.places")}
            value={chosen}
            onChange={(e) => {
              setChosen(e.target.value);
              if (e.target.value) done(goTo(id, e.target.value));
            }}
          >
            <option value="">{t("ptz.place_none")}</option>
            {facts.presets.map((p) => <option key={p.token} value={p.token}>{p.name}</option>)}
          </select>
          {preset && <Button kind="ghost" size="small" icon={<Trash2 size={15} />} label={t("ptz.forget", { name: preset.name })} onClick={() => done(forget(preset.token, preset.name))} />}
          <Button kind="ghost" size="small" icon={<MapPinPlus size={15} />} label={t("ptz.save")} pressed={name !== null} onClick={() => setName(name === null ? "" : null)} />
        </div>
      )}
      {name !== null && (
        <form
          className="ptz-places"
          onSubmit={(e) => {
            e.preventDefault();
            if (name.trim()) done(save(name.trim()));
          }}
        >
          <input autoFocus maxLength={64} aria-label={t("ptz.save_name")} placeholder={t("ptz.save_name")} value={name} onChange={(e) => setName(e.target.value)} />
        </form>
      )}
    </div>
  );
}
