import { useEffect, useRef, useState } from "react";
import type { Camera } from "~/api/types";
import { Spinner } from "~/components/misc";
import { useT } from "~/i18n";
import { causeLine } from "~/lib/cause";
import { duration, moment } from "~/lib/format";
import { useStore } from "~/lib/store";
import { Feeder, OFFLINE } from "~/playback/feeder";
import type { Player } from "~/playback/player";
import { type Lane, bandAt, hasFootage } from "./data";
import { Thumbs } from "./thumbs";

/** One camera's footage at the moment that is shown. */
export function Pane({ camera, player, lane, scrub, sound, onOpen }: { camera: Camera; player: Player; lane: Lane | undefined; scrub: number | null; sound: boolean; onOpen?: (() => void) | undefined }) {
  const t = useT();
  const video = useRef<HTMLVideoElement>(null);
  const [feeder, setFeeder] = useState<Feeder | null>(null);
  useEffect(() => {
    if (!video.current) return;
    const made = new Feeder(camera.id, video.current);
    setFeeder(made);
    return player.add(made);
  }, [camera.id, player]);
  useEffect(() => {
    if (feeder) feeder.frame = 1 / (camera.tracks?.video.frame_rate || 25);
  }, [feeder, camera.tracks?.video.frame_rate]);
  useEffect(() => {
    if (video.current) video.current.muted = !sound;
  }, [sound]);
  const still = useStill(camera.id, scrub !== null && lane && hasFootage(lane, scrub) ? scrub : null);
  return (
    <figure className="pane" data-camera={camera.id} onDoubleClick={onOpen}>
      <video ref={video} className="pane-media" muted playsInline aria-label={camera.name} />
      {scrub !== null && !(lane && hasFootage(lane, scrub)) && <div className="pane-over"><p>{t("timeline.no_footage")}</p></div>}
      {still && scrub !== null && <img className="pane-media" src={still} alt="" />}
      <figcaption className="pane-name">{camera.name}</figcaption>
      {feeder && scrub === null && <Over feeder={feeder} player={player} lane={lane} />}
    </figure>
  );
}

/** Why there is no picture. */
function Over({ feeder, player, lane }: { feeder: Feeder; player: Player; lane: Lane | undefined }) {
  const t = useT();
  const { loading, error } = useStore(feeder.state);
  const { missing, atEnd, waiting } = useStore(player.state);
  if (error) return <div className="pane-over" role="alert"><p>{error === OFFLINE ? t("common.offline_title") : error}</p></div>;
  if (missing.has(feeder.camera)) {
    const what = feeder.covers(player.time);
    const gap = lane && bandAt(lane.gaps, player.time);
    return (
      <div className="pane-over" role="status">
        <p>{atEnd ? t("timeline.at_end") : t("timeline.no_footage")}</p>
        {gap && <p className="pane-why">{[causeLine(t, gap.cause), duration((gap.end - gap.start) / 1000)].filter(Boolean).join(" · ")}</p>}
        {what.kind === "gap" && what.next !== null && <p className="pane-why">{t("timeline.goes_on", { when: moment(what.next) })}</p>}
      </div>
    );
  }
  return loading || (waiting && !feeder.ready) ? <div className="pane-over pane-wait"><Spinner label={t("timeline.waiting")} /></div> : null;
}

/** The picture of the moment under the finger, while it is dragged. */
function useStill(camera: string, time: number | null): string | null {
  const thumbs = useRef<Thumbs | null>(null);
  const [still, setStill] = useState<string | null>(null);
  useEffect(() => {
    const made = new Thumbs(camera, 640);
    thumbs.current = made;
    return () => made.end();
  }, [camera]);
  useEffect(() => {
    if (time === null) {
      thumbs.current?.none();
      setStill(null);
    } else thumbs.current?.at(time, 1000, setStill);
  }, [time]);
  return still;
}
