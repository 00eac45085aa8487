import { clock, dateFormat } from "~/lib/format";
import type { Band, Lane } from "./data";
import { LIKELY, SURE, type Strip } from "./motion";
import { DAY, MINUTE, type View, marks, span, stepFor, toX } from "./scale";

export const RULER = 26;
export const LANE = 34;
const PAD = 5;

export interface Palette {
  text: string;
  muted: string;
  line: string;
  strong: string;
  surface: string;
  raised: string;
  accent: string;
  soft: string;
  good: string;
  warn: string;
  bad: string;
  font: string;
}

export function paletteOf(element: Element): Palette {
  const style = getComputedStyle(element);
  const of = (name: string) => style.getPropertyValue(name).trim();
  return {
    text: of("--text"), muted: of("--muted"), line: of("--line"), strong: of("--line-strong"), surface: of("--surface"), raised: of("--raised"),
    accent: of("--accent"), soft: of("--accent-soft"), good: of("--good"), warn: of("--warn"), bad: of("--bad"), font: style.fontFamily,
  };
}

/** Gaps that somebody wanted, or that are nobody's fault. */
const WANTED = new Set(["requested", "startup", "shutdown", "config_changed", "not_scheduled", "no_motion", "scheduled", "deleted", "unknown"]);
const BAD_EVENTS = new Set(["frames_dropped", "segment_damaged", "storage_fault"]);

export interface Scene {
  view: View;
  lanes: Lane[];
  strips: ReadonlyMap<string, Strip>;
  names: Map<string, string>;
  now: number;
  time: number;
  hover: number | null;
  mark: Band | null;
  width: number;
  height: number;
  colours: Palette;
}

export const heightFor = (lanes: number): number => RULER + Math.max(1, lanes) * LANE + 4;

export function draw(c: CanvasRenderingContext2D, scene: Scene): void {
  const { width, height, colours, view } = scene;
  const x = (time: number) => toX(view, time, width);
  c.clearRect(0, 0, width, height);
  c.fillStyle = colours.surface;
  c.fillRect(0, 0, width, height);
  ruler(c, scene, x);
  scene.lanes.forEach((lane, n) => laneAt(c, scene, lane, RULER + n * LANE, x));
  future(c, scene, x);
  if (scene.mark) markAt(c, scene, scene.mark, x);
  if (scene.hover !== null) hoverAt(c, scene, x(scene.hover));
  playhead(c, scene, x(scene.time));
}

function ruler(c: CanvasRenderingContext2D, { view, width, height, colours }: Scene, x: (t: number) => number): void {
  const step = stepFor(view, width, 78);
  const fine = stepFor(view, width, 13);
  c.strokeStyle = colours.line;
  c.lineWidth = 1;
  c.beginPath();
  for (const time of marks(view, fine)) {
    const at = Math.round(x(time)) + 0.5;
    c.moveTo(at, RULER - 4);
    c.lineTo(at, RULER);
  }
  c.stroke();
  c.font = `500 11px ${colours.font}`;
  c.textBaseline = "middle";
  const short = step.unit === "second" ? { hour: "2-digit", minute: "2-digit", second: "2-digit" } as const : { hour: "2-digit", minute: "2-digit" } as const;
  for (const time of [...marks({ from: view.from - step.length, to: view.to }, step)]) {
    const at = Math.round(x(time)) + 0.5;
    c.strokeStyle = colours.line;
    c.beginPath();
    c.moveTo(at, RULER - 8);
    c.lineTo(at, height);
    c.stroke();
    const date = new Date(time);
    const midnight = date.getHours() === 0 && date.getMinutes() === 0 && date.getSeconds() === 0;
    const label =
      step.unit === "month" ? dateFormat({ month: "short", year: "numeric" }).format(date)
      : step.unit === "day" || midnight ? dateFormat({ day: "numeric", month: "short" }).format(date)
      : dateFormat(short).format(date);
    c.fillStyle = midnight || step.unit === "month" ? colours.text : colours.muted;
    c.fillText(label, at + 4, RULER / 2 - 1);
  }
  c.strokeStyle = colours.line;
  c.beginPath();
  c.moveTo(0, RULER + 0.5);
  c.lineTo(width, RULER + 0.5);
  c.stroke();
}

function laneAt(c: CanvasRenderingContext2D, scene: Scene, lane: Lane, top: number, x: (t: number) => number): void {
  const { colours, width, now, names } = scene;
  const [y, h] = [top + PAD, LANE - 2 * PAD];
  const block = (from: number, to: number, least: number) => {
    const left = Math.max(-2, x(from));
    const right = Math.min(width + 2, x(to));
    return right < -1 || left > width + 1 ? null : ([left, Math.max(least, right - left)] as const);
  };
  for (const gap of lane.gaps) {
    if (WANTED.has(gap.cause.kind)) continue;
    const place = block(gap.start, Math.min(gap.end, now), 1);
    if (!place) continue;
    c.globalAlpha = 0.2;
    c.fillStyle = colours.bad;
    c.fillRect(place[0], y, place[1], h);
    c.globalAlpha = 0.9;
    c.fillRect(place[0], y + h - 2, place[1], 2);
    c.globalAlpha = 1;
  }
  for (const range of lane.ranges) {
    const place = block(range.start, range.growing ? Math.max(range.end, now) : range.end, 1.5);
    if (!place) continue;
    c.globalAlpha = 0.62;
    c.fillStyle = colours.accent;
    c.beginPath();
    c.roundRect(place[0], y, place[1], h, Math.min(3, place[1] / 2));
    c.fill();
    c.globalAlpha = 1;
  }
  const strip = scene.strips.get(lane.camera);
  if (strip) motionAt(c, scene, strip, top + 1, x);
  let last = -10;
  for (const event of lane.events) {
    const at = x(event.at);
    if (at < -4 || at > width + 4 || at - last < 3) continue;
    last = at;
    c.fillStyle = BAD_EVENTS.has(event.kind) ? colours.bad : colours.warn;
    c.strokeStyle = colours.surface;
    c.beginPath();
    c.moveTo(at, y - 3);
    c.lineTo(at + 4, y + 1);
    c.lineTo(at, y + 5);
    c.lineTo(at - 4, y + 1);
    c.closePath();
    c.fill();
    c.stroke();
  }
  const name = names.get(lane.camera) ?? lane.camera;
  c.font = `600 11px ${colours.font}`;
  const wide = c.measureText(name).width;
  c.fillStyle = colours.surface;
  c.globalAlpha = 0.86;
  c.beginPath();
  c.roundRect(6, y + h / 2 - 9, wide + 12, 18, 4);
  c.fill();
  c.globalAlpha = 1;
  c.fillStyle = colours.text;
  c.fillText(name, 12, y + h / 2 + 0.5);
}

/** How much moved, as a thin band above what is recorded: the more, the higher. */
function motionAt(c: CanvasRenderingContext2D, { colours, width, view }: Scene, strip: Strip, y: number, x: (t: number) => number): void {
  const length = (strip.to - strip.from) / strip.scores.length;
  const first = Math.max(0, Math.floor((view.from - strip.from) / length));
  const last = Math.min(strip.scores.length, Math.ceil((view.to - strip.from) / length));
  for (let n = first; n < last; n++) {
    const score = strip.scores[n];
    if (score === null || score === undefined) continue;
    const left = x(strip.from + n * length);
    if (left > width) break;
    const wide = Math.max(1, x(strip.from + (n + 1) * length) - left);
    c.globalAlpha = score < LIKELY ? 0.35 : score < SURE ? 0.7 : 1;
    c.fillStyle = score < LIKELY ? colours.muted : colours.warn;
    const high = score < LIKELY ? 1 : 1.5 + score * 3.5;
    c.fillRect(left, y + 5 - high, wide, high);
  }
  c.globalAlpha = 1;
}

/** Behind now there is nothing. */
function future(c: CanvasRenderingContext2D, { now, width, height, colours }: Scene, x: (t: number) => number): void {
  const at = x(now);
  if (at >= width) return;
  c.fillStyle = colours.line;
  c.globalAlpha = 0.45;
  c.fillRect(Math.max(0, at), RULER + 1, width - Math.max(0, at), height);
  c.globalAlpha = 1;
}

function markAt(c: CanvasRenderingContext2D, { colours, height }: Scene, mark: Band, x: (t: number) => number): void {
  const [a, b] = [x(mark.start), x(mark.end)];
  c.fillStyle = colours.good;
  c.globalAlpha = 0.2;
  c.fillRect(a, RULER, b - a, height - RULER);
  c.globalAlpha = 1;
  for (const at of [a, b]) {
    c.fillRect(at - 1, RULER - 6, 2, height - RULER + 6);
    c.beginPath();
    c.roundRect(at - 4, RULER + (height - RULER) / 2 - 9, 8, 18, 3);
    c.fill();
  }
}

function hoverAt(c: CanvasRenderingContext2D, { colours, height }: Scene, at: number): void {
  c.strokeStyle = colours.muted;
  c.globalAlpha = 0.7;
  c.beginPath();
  c.moveTo(Math.round(at) + 0.5, RULER - 6);
  c.lineTo(Math.round(at) + 0.5, height);
  c.stroke();
  c.globalAlpha = 1;
}

function playhead(c: CanvasRenderingContext2D, { colours, height, width, time, view }: Scene, at: number): void {
  if (at < -60 || at > width + 60) return;
  c.fillStyle = colours.text;
  c.fillRect(at - 1, RULER - 4, 2, height - RULER + 4);
  const label = span(view) <= 10 * MINUTE ? `${clock(time)}.${String(Math.floor((time % 1000) / 100))}` : span(view) < 3 * DAY ? clock(time) : dateFormat({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }).format(time);
  c.font = `600 11px ${colours.font}`;
  const wide = c.measureText(label).width + 12;
  const left = Math.min(width - wide - 1, Math.max(1, at - wide / 2));
  c.beginPath();
  c.roundRect(left, 3, wide, 18, 4);
  c.fill();
  c.fillStyle = colours.surface;
  c.fillText(label, left + 6, 12.5);
}

