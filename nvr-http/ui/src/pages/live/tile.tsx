import { AudioLines, Camera as CameraIcon, CircleDot, Cast, Ellipsis, GripVertical, History, Maximize, ScrollText, Square, Volume2, VolumeX } from "lucide-react";
import { type KeyboardEvent, type PointerEvent, Suspense, lazy, useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { post, request } from "~/api/client";
import { useMay } from "~/api/session";
import type { Pushes } from "~/api/pushes";
import type { Camera } from "~/api/types";
import { Button } from "~/components/button";
import { Menu, type MenuItem } from "~/components/menu";
import { StateBadge } from "~/components/misc";
import { toast, toastError } from "~/components/toast";
import { t as say, useT } from "~/i18n";
import { PATH_NAMES, type Path, SILENT } from "~/live/driver";
import { type LiveState, type LiveView, ORDER } from "~/live/view";
import { causeDetail, causeKind } from "~/lib/cause";
import { ago, moment } from "~/lib/format";
import { useStore } from "~/lib/store";
import { nameOf, useFeeds, useLive } from "./feeds";
import { Figures } from "./figures";
import { Screen } from "./screen";

const PushDialog = lazy(() => import("./pushes"));
const Ptz = lazy(() => import("./ptz"));

export interface TileProps {
  camera: Camera;
  stats: boolean;
  sound: boolean;
  onSound(on: boolean): void;
  /** Shown so large that the main stream is worth it. */
  large: boolean;
  alone: boolean;
  onAlone(): void;
  /** What is pushed of all cameras; null where there is no such thing. */
  pushes: Pushes | null;
  /** Of the handle: drag to reorder, arrow keys. */
  onGrab(e: PointerEvent): void;
  onMove(e: KeyboardEvent): void;
  dragged: boolean;
}

export function Tile(props: TileProps) {
  const { camera, stats, sound, large, alone, onAlone, dragged } = props;
  const t = useT();
  const box = useRef<HTMLElement>(null);
  const [wanted, setWanted] = useState<Path | null>(null);
  const [pushing, setPushing] = useState(false);
  const full = useFullScreen(box);
  const operates = useMay("operator");
  const { feeds, view, onView, onCome } = useFeeds({ stream: large || full ? "main" : "sub", audio: sound });

  return (
    <figure ref={box} className={["tile", dragged && "tile-dragged"].filter(Boolean).join(" ")} data-camera={camera.id} onDoubleClick={(e) => !(e.target as Element).closest("button, dialog") && onAlone()}>
      {feeds.map((feed, n) => (
        <Screen key={nameOf(feed)} camera={camera} feed={feed} coming={n > 0} sound={sound} path={wanted} onView={onView} onCome={onCome} />
      ))}
      {view && <Cover camera={camera} view={view} box={box} />}
      {view && stats && (camera.state === "recording" || camera.state === "standby") && <Figures view={view} />}
      {(full || alone) && operates && camera.onvif && (
        <Suspense>
          <Ptz camera={camera} />
        </Suspense>
      )}
      <figcaption className="tile-bar">
        <button type="button" className="tile-name" aria-pressed={alone} title={alone ? t("live.all") : t("live.only", { camera: camera.name })} onClick={onAlone}>{camera.name}</button>
        {camera.recording && <span className="tile-rec" title={t("common.state_recording")}><i className="dot" /><span className="hidden">{t("common.state_recording")}</span></span>}
        <Pushed {...props} onOpen={() => setPushing(true)} />
        <span className="grow" />
        <Tools {...props} box={box} view={view} wanted={wanted} onPush={() => setPushing(true)} onPath={(path) => {
          setWanted(path);
          view?.use(path);
        }} />
      </figcaption>
      {pushing && props.pushes && (
        <Suspense>
          <PushDialog camera={camera} hasSub={view?.state.get().hasSub ?? false} pushes={props.pushes} onClose={() => setPushing(false)} />
        </Suspense>
      )}
    </figure>
  );
}

/** That the camera is sent elsewhere, and how that goes. */
function Pushed({ camera, pushes, onOpen }: TileProps & { onOpen(): void }) {
  const t = useT();
  const mine = pushes?.list.filter((p) => p.camera === camera.id) ?? [];
  if (!mine.length) return null;
  const failing = mine.some((p) => p.state === "retrying");
  const words = [t("pushes.shown", { n: mine.length }), ...mine.map((p) => `${p.url}: ${t(`pushes.state_${p.state}`)}`)].join("\n");
  return <Button kind="ghost" size="small" className={failing ? "tile-push tile-push-bad" : "tile-push"} icon={<Cast size={15} />} label={words} onClick={onOpen} />;
}

/** Whether an element fills the display. */
function useFullScreen(box: { current: HTMLElement | null }): boolean {
  const [full, setFull] = useState(false);
  useEffect(() => {
    const look = () => setFull(!!box.current && document.fullscreenElement === box.current);
    document.addEventListener("fullscreenchange", look);
    return () => document.removeEventListener("fullscreenchange", look);
  }, [box]);
  return full;
}

/** Over the picture while there is none: what the camera does, and why. */
function Cover({ camera, view, box }: { camera: Camera; view: LiveView; box: { current: HTMLElement | null } }) {
  const t = useT();
  const state = useStore(view.state);
  // For tests and style sheets: by which path it is shown.
  useEffect(() => {
    const data = box.current?.dataset;
    if (data) Object.assign(data, { phase: state.phase, path: state.path ?? "", stream: state.stream });
  }, [box, state.phase, state.path, state.stream]);
  if (state.phase === "playing") return null;
  const flows = camera.state === "recording" || camera.state === "standby";
  const kind = causeKind(t, camera.cause);
  const detail = causeDetail(kind, camera.cause.message);
  return (
    <div className={flows ? "tile-cover tile-cover-light" : "tile-cover"} role="status">
      {flows ? (
        <Trying state={state} />
      ) : (
        <>
          <StateBadge state={camera.state} />
          <p className="tile-cause">{kind ?? camera.cause.message}</p>
          {kind && detail && <p className="tile-detail" title={detail}>{detail}</p>}
          <p className="tile-since" title={moment(camera.since)}>
            {t("live.since", { when: ago(camera.since) })}
            {camera.next_try && ` · ${t("live.next_try", { when: ago(camera.next_try) })}`}
          </p>
        </>
      )}
    </div>
  );
}

function Trying({ state }: { state: LiveState }) {
  const t = useT();
  return (
    <>
      <span className="spinner" aria-hidden />
      <p className="tile-since">{state.phase === "waiting" && state.error ? state.error : state.path ? t("live.trying", { path: PATH_NAMES[state.path] }) : t("live.connecting")}</p>
    </>
  );
}

function Tools({ camera, sound, onSound, alone, onGrab, onMove, box, view, pushes, wanted, onPath, onPush }: TileProps & { box: { current: HTMLElement | null }; view: LiveView | null; wanted: Path | null; onPath(path: Path | null): void; onPush(): void }) {
  const t = useT();
  const [, go] = useLocation();
  const operates = useMay("operator");
  const administers = useMay("admin");
  const paths: MenuItem[] = [null, ...ORDER].map((path) => ({
    label: path ? t("live.path_only", { path: PATH_NAMES[path] }) : t("live.path_auto"),
    checked: wanted === path,
    onSelect: () => onPath(path),
  }));
  const byHand = camera.mode === "manual" && operates;
  return (
    <div className="tile-tools">
      {!alone && (
        <button type="button" className="tile-grip" aria-label={t("live.move", { camera: camera.name })} title={t("live.move", { camera: camera.name })} onPointerDown={onGrab} onKeyDown={onMove}>
          <GripVertical size={14} aria-hidden />
        </button>
      )}
      {byHand && (
        <Button kind="ghost" size="small" className={camera.manual ? "tile-recording" : ""} icon={camera.manual ? <Square size={14} fill="currentColor" /> : <CircleDot size={15} />} label={t(camera.manual ? "live.record_stop" : "live.record")} onClick={() => void record(camera)} />
      )}
      {camera.tracks?.audio && <Sound view={view} on={sound} onTurn={onSound} />}
      <Button kind="ghost" size="small" icon={<CameraIcon size={15} />} label={t("live.snapshot")} onClick={() => void snapshot(camera)} />
      <Button kind="ghost" size="small" icon={<Maximize size={15} />} label={t("live.full_screen")} onClick={() => fullScreen(box.current)} />
      <Menu
        button={{ kind: "ghost", size: "small", icon: <Ellipsis size={15} />, label: t("live.more", { camera: camera.name }) }}
        items={[
          { label: t("live.look_back"), icon: <History size={15} />, onSelect: () => go(`/timeline?camera=${camera.id}`) },
          ...(administers ? [{ label: t("live.log"), icon: <ScrollText size={15} />, onSelect: () => go(`/system?log=${camera.id}`) }] : []),
          ...(pushes ? [{ label: t("pushes.menu"), icon: <Cast size={15} />, onSelect: onPush }] : []),
          "-",
          ...paths.map((item, n) => (n === 0 ? { ...item, icon: <AudioLines size={15} /> } : item)),
        ]}
      />
    </div>
  );
}

/** Turns sound on and off; where the way that is in use has none, it says so. */
export function Sound({ view, on, onTurn }: { view: LiveView | null; on: boolean; onTurn(on: boolean): void }) {
  const t = useT();
  const { path } = useLive(view);
  const silent = path !== null && SILENT.has(path);
  const sounds = on && !silent;
  return (
    <Button
      kind="ghost"
      size="small"
      icon={sounds ? <Volume2 size={15} /> : <VolumeX size={15} />}
      label={silent ? t("live.sound_none", { path: PATH_NAMES[path] }) : t(on ? "live.sound_off" : "live.sound_on")}
      pressed={sounds}
      // Not disabled, so that the reason can be reached and read.
      aria-disabled={silent || undefined}
      onClick={() => !silent && onTurn(!on)}
    />
  );
}

/** On a phone that has full screen for videos only, the video; else the whole tile. */
export function fullScreen(box: HTMLElement | null): void {
  if (document.fullscreenElement) return void document.exitFullscreen();
  if (!box) return;
  if (typeof box.requestFullscreen === "function") return void box.requestFullscreen().catch(toastError);
  const video = box.querySelector("video") as (HTMLVideoElement & { webkitEnterFullscreen?(): void }) | null;
  video?.webkitEnterFullscreen?.();
}

async function record(camera: Camera): Promise<void> {
  try {
    if (camera.manual) await post(`/cameras/${camera.id}/record`, undefined, { stop: true });
    else await post(`/cameras/${camera.id}/record`, {});
    toast(camera.manual ? say("live.recording_ended", { camera: camera.name }) : say("live.recording_by_hand", { camera: camera.name }));
  } catch (e) {
    toastError(e);
  }
}

/** Saves the newest keyframe, in full size, as a file. */
async function snapshot(camera: Camera): Promise<void> {
  try {
    const answer = await request(`/cameras/${camera.id}/snapshot.jpg`);
    const time = answer.headers.get("x-frame-time") ?? new Date().toISOString();
    save(await answer.blob(), `${camera.id}_${time.slice(0, 19).replaceAll(":", "-")}Z.jpg`);
    toast(say("live.snapshot_saved", { camera: camera.name }));
  } catch (e) {
    toastError(e);
  }
}

/** Lets the browser save something as a file. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
