import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { Cause, CameraState } from "~/api/types";
import { language, t as say, useT } from "~/i18n";
import { causeLine } from "~/lib/cause";
import { clock, dateFormat, duration, moment } from "~/lib/format";
import { useStore } from "~/lib/store";
import { look } from "~/lib/theme";
import { type Band, type Lane, bandAt, hasFootage } from "./data";
import { LANE, RULER, draw, heightFor, paletteOf } from "./draw";
import { LIKELY, type Strip, scoreAt } from "./motion";
import { type View, panned, span, toTime, toX, zoomed } from "./scale";
import { Thumbs } from "./thumbs";

export interface ScrubberProps {
  lanes: Lane[];
  strips: ReadonlyMap<string, Strip>;
  names: Map<string, string>;
  view: View;
  onView(view: View): void;
  /** The moment that is shown; asked each time something is drawn. */
  time(): number;
  /** Told whenever it changes. */
  onTime(listener: () => void): () => void;
  /** While a finger or the mouse is dragged (`done` false), and at the end. */
  onScrub(time: number, done: boolean): void;
  mark: Band | null;
  onMark(mark: Band): void;
  onWidth(width: number): void;
}

/** How close to a handle of the mark one has to be. */
const GRIP = 9;
/** What moves less was a click. */
const STILL = 4;

/** Where the pointer is. */
interface Hover {
  x: number;
  lane: number;
}

type Drag = { kind: "scrub" } | { kind: "pan"; view: View; x: number } | { kind: "mark"; end: "start" | "end" };

export function Scrubber(props: ScrubberProps) {
  const { lanes, strips, names, view, mark, onWidth } = props;
  const t = useT();
  useStore(language);
  const colours = useStore(look);
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const [width, setWidth] = useState(0);
  // A place, for the view may move under the pointer.
  const [hover, setHover] = useState<Hover | null>(null);
  const hovered = useRef<number | null>(null);
  hovered.current = hover && toTime(view, hover.x, width);
  const height = heightFor(lanes.length);

  const paint = useCallback(() => {
    const element = canvas.current;
    const context = element?.getContext("2d");
    if (!element || !context || !element.clientWidth) return;
    const ratio = devicePixelRatio || 1;
    const [w, h] = [element.clientWidth, element.clientHeight];
    if (element.width !== Math.round(w * ratio) || element.height !== Math.round(h * ratio)) {
      element.width = Math.round(w * ratio);
      element.height = Math.round(h * ratio);
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const { lanes, strips, names, view, mark, time } = latest.current;
    draw(context, { view, lanes, strips, names, mark, now: Date.now(), time: time(), hover: hovered.current, width: w, height: h, colours: paletteOf(element) });
    const slider = box.current;
    slider?.setAttribute("aria-valuenow", String(Math.round(time() / 1000)));
    slider?.setAttribute("aria-valuetext", moment(time()));
    slider?.setAttribute("data-time", String(Math.round(time())));
  }, []);

  // One drawing a frame, whatever asks for it.
  const asked = useRef(0);
  const ask = useCallback(() => {
    asked.current ||= requestAnimationFrame(() => {
      asked.current = 0;
      paint();
    });
  }, [paint]);
  useEffect(ask, [ask, lanes, strips, names, view, mark, width, height, hover, colours]);
  const { onTime } = props;
  useEffect(() => onTime(ask), [onTime, ask]);
  useEffect(() => {
    const timer = setInterval(ask, 1000);
    return () => {
      clearInterval(timer);
      cancelAnimationFrame(asked.current);
      asked.current = 0;
    };
  }, [ask]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      setWidth(element.clientWidth);
      onWidth(element.clientWidth);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [onWidth]);

  useGestures(canvas, latest, setHover);

  const lane = hover ? lanes[hover.lane] : undefined;
  const time = hovered.current;
  return (
    <div
      ref={box}
      className="scrubber"
      style={{ height }}
      role="slider"
      tabIndex={0}
      aria-label={t("timeline.scrubber")}
      aria-description={t("timeline.scrubber_help")}
      aria-valuemin={Math.round(view.from / 1000)}
      aria-valuemax={Math.round(view.to / 1000)}
      aria-valuenow={Math.round(props.time() / 1000)}
    >
      <canvas ref={canvas} className="scrubber-canvas" aria-hidden />
      {hover && lane && time !== null && <Bubble key={lane.camera} lane={lane} motion={scoreAt(strips.get(lane.camera), time)} time={time} x={hover.x} width={width} grain={(span(view) / Math.max(1, width)) * 6} />}
    </div>
  );
}

/** Wheel zooms (with shift, or sideways: moves); dragging scrubs on lanes and moves on the ruler; two fingers zoom. */
function useGestures(canvas: { current: HTMLCanvasElement | null }, latest: { current: ScrubberProps }, setHover: (hover: Hover | null) => void): void {
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const fingers = new Map<number, { x: number; y: number }>();
    let drag: Drag | null = null;
    let began = { x: 0, y: 0 };
    let moved = false;
    let pinch: { distance: number; view: View; around: number } | null = null;
    const width = () => element.clientWidth;
    const place = (e: { clientX: number; clientY: number }) => {
      const rect = element.getBoundingClientRect();
      return { x: e.clientX - rect.left, y: e.clientY - rect.top };
    };
    const within = (x: number) => Math.max(0, Math.min(width(), x));
    const timeAt = (x: number) => toTime(latest.current.view, within(x), width());
    const handleAt = (x: number): "start" | "end" | null => {
      const { mark, view } = latest.current;
      if (!mark) return null;
      const [a, b] = [toX(view, mark.start, width()), toX(view, mark.end, width())];
      if (Math.abs(x - b) < GRIP && Math.abs(x - b) <= Math.abs(x - a)) return "end";
      return Math.abs(x - a) < GRIP ? "start" : null;
    };
    const laneAt = (y: number) => Math.max(0, Math.min(latest.current.lanes.length - 1, Math.floor((y - RULER) / LANE)));
    const pinched = () => {
      const [a, b] = [...fingers.values()];
      return a && b ? { distance: Math.max(20, Math.abs(a.x - b.x)), middle: (a.x + b.x) / 2 } : null;
    };

    const onWheel = (e: WheelEvent) => {
      e.preventDefault();
      const { view, onView } = latest.current;
      const unit = e.deltaMode === 1 ? 30 : 1;
      const sideways = e.shiftKey ? e.deltaY || e.deltaX : Math.abs(e.deltaX) > Math.abs(e.deltaY) ? e.deltaX : 0;
      if (sideways) onView(panned(view, ((sideways * unit) / width()) * span(view), Date.now()));
      else onView(zoomed(view, Math.exp(Math.max(-120, Math.min(120, e.deltaY * unit)) * 0.0032), timeAt(place(e).x), Date.now()));
    };
    const onDown = (e: PointerEvent) => {
      if (e.button !== 0) return;
      const at = place(e);
      fingers.set(e.pointerId, at);
      element.setPointerCapture(e.pointerId);
      const two = pinched();
      if (two) {
        drag = null;
        pinch = { distance: two.distance, view: latest.current.view, around: timeAt(two.middle) };
        return;
      }
      began = at;
      moved = false;
      const handle = handleAt(at.x);
      drag = handle ? { kind: "mark", end: handle } : at.y < RULER ? { kind: "pan", view: latest.current.view, x: at.x } : { kind: "scrub" };
    };
    const onMove = (e: PointerEvent) => {
      const at = place(e);
      const { mark, onMark, onScrub, onView, lanes } = latest.current;
      if (fingers.has(e.pointerId)) fingers.set(e.pointerId, at);
      const two = pinched();
      if (pinch && two) {
        const share = two.middle / width();
        const length = (span(pinch.view) * pinch.distance) / two.distance;
        onView(zoomed({ from: pinch.around - share * length, to: pinch.around + (1 - share) * length }, 1, pinch.around, Date.now()));
        return;
      }
      if (Math.hypot(at.x - began.x, at.y - began.y) > STILL) moved = true;
      if (!drag) {
        element.style.cursor = handleAt(at.x) ? "ew-resize" : at.y < RULER ? "grab" : "pointer";
        if (e.pointerType === "mouse") setHover(lanes.length ? { x: within(at.x), lane: laneAt(at.y) } : null);
        return;
      }
      if (!moved) return;
      if (drag.kind === "pan") {
        element.style.cursor = "grabbing";
        onView(panned(drag.view, ((drag.x - at.x) / width()) * span(drag.view), Date.now()));
      } else if (drag.kind === "mark" && mark) {
        const time = Math.min(timeAt(at.x), Date.now());
        onMark(drag.end === "start" ? { start: Math.min(time, mark.end - 100), end: mark.end } : { start: mark.start, end: Math.max(time, mark.start + 100) });
      } else {
        const time = Math.min(timeAt(at.x), Date.now());
        setHover({ x: toX(latest.current.view, time, width()), lane: laneAt(began.y) });
        onScrub(time, false);
      }
    };
    const onUp = (e: PointerEvent) => {
      const at = place(e);
      fingers.delete(e.pointerId);
      if (pinch) {
        if (!fingers.size) pinch = null;
        return;
      }
      if (drag?.kind === "scrub" && e.type === "pointerup") latest.current.onScrub(Math.min(timeAt(at.x), Date.now()), true);
      else if (drag?.kind === "pan" && !moved && e.type === "pointerup") latest.current.onScrub(Math.min(timeAt(at.x), Date.now()), true);
      drag = null;
      if (e.pointerType !== "mouse") setHover(null);
    };
    const onLeave = () => {
      if (!drag) setHover(null);
    };
    element.addEventListener("wheel", onWheel, { passive: false });
    element.addEventListener("pointerdown", onDown);
    element.addEventListener("pointermove", onMove);
    element.addEventListener("pointerup", onUp);
    element.addEventListener("pointercancel", onUp);
    element.addEventListener("pointerleave", onLeave);
    return () => {
      element.removeEventListener("wheel", onWheel);
      element.removeEventListener("pointerdown", onDown);
      element.removeEventListener("pointermove", onMove);
      element.removeEventListener("pointerup", onUp);
      element.removeEventListener("pointercancel", onUp);
      element.removeEventListener("pointerleave", onLeave);
    };
  }, [canvas, latest, setHover]);
}

/** While the pointer moves on, the last picture stays as long as it is so close (in grains, of 6 pixels). */
const NEAR = 12;

/** What was at the moment under the pointer: time, picture, and why there is none. */
function Bubble({ lane, motion, time, x, width, grain }: { lane: Lane; motion: number | null; time: number; x: number; width: number; grain: number }) {
  const thumbs = useRef<Thumbs | null>(null);
  const [picture, setPicture] = useState<{ address: string; time: number } | null>(null);
  useEffect(() => {
    const made = new Thumbs(lane.camera, 320);
    thumbs.current = made;
    return () => made.end();
  }, [lane.camera]);
  const has = hasFootage(lane, time);
  useEffect(() => {
    if (has) thumbs.current?.at(time, grain, (address) => setPicture(address === null ? null : { address, time }));
    else {
      thumbs.current?.none();
      setPicture(null);
    }
  }, [time, grain, has]);
  const gap = has ? undefined : bandAt(lane.gaps, time);
  const near = lane.events.find((e) => Math.abs(e.at - time) < grain);
  const WIDE = 184;
  return (
    <div className="bubble" style={{ left: Math.max(4, Math.min(width - WIDE - 4, x - WIDE / 2)), width: WIDE }} aria-hidden>
      {picture && Math.abs(picture.time - time) < NEAR * grain && <img src={picture.address} alt="" />}
      <p className="bubble-time">{clock(time)} <span className="muted">{dateFormat({ day: "numeric", month: "short" }).format(time)}</span></p>
      {gap && <p className="bubble-why">{causeLine(say, gap.cause) || say("timeline.gap")} · {duration((gap.end - gap.start) / 1000)}</p>}
      {motion !== null && motion >= LIKELY && <p className="bubble-why">{say("timeline.motion", { percent: String(Math.round(motion * 100)) })}</p>}
      {near && <p className="bubble-why">{eventWords(near)}</p>}
    </div>
  );
}

function eventWords({ kind, detail }: Lane["events"][number]): string {
  const cause = causeLine(say, detail["cause"] as Partial<Cause> | undefined);
  const words =
    kind === "camera_state" ? say("timeline.event_camera_state", { state: say(`common.state_${detail["to"] as CameraState}`) })
    : kind === "frames_dropped" || kind === "audio_trouble" || kind === "segment_damaged" || kind === "footage_deleted" ? say(`timeline.event_${kind}`)
    : say("timeline.event_other", { kind });
  return cause ? `${words}: ${cause}` : words;
}
