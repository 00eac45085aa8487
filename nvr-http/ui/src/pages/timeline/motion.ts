// How much moved, as a thin band above what is recorded.
import { useEffect, useRef, useState } from "react";
import { ask } from "~/api/client";
import type { View } from "./scale";
import { span } from "./scale";

export interface Strip {
  from: number;
  to: number;
  /** 0 to 1 of equal parts; null where nobody looked. */
  scores: (number | null)[];
}

interface MotionAnswer {
  camera: string;
  from: string;
  to: string;
  scores: (number | null)[];
}

interface Loaded extends View {
  cameras: string;
  point: number;
  strips: Map<string, Strip>;
}

/** From this score on motion is sure. */
export const SURE = 0.5;
/** From this on it is likely. */
export const LIKELY = 0.2;

/** The score of a moment. */
export function scoreAt(strip: Strip | undefined, time: number): number | null {
  if (!strip?.scores.length || time < strip.from || time >= strip.to) return null;
  return strip.scores[Math.floor(((time - strip.from) / (strip.to - strip.from)) * strip.scores.length)] ?? null;
}

/** Strips of some cameras for a view, with room at both sides; asked for anew when that or the detail is used up. */
export function useStrips(cameras: readonly string[], view: View, width: number): ReadonlyMap<string, Strip> {
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const latest = useRef({ view, width, loaded });
  latest.current = { view, width, loaded };
  const names = cameras.join(",");
  const load = useRef(async () => {});
  load.current = async () => {
    const { view, width } = latest.current;
    if (!names) return setLoaded(null);
    const room = span(view) / 2;
    const [from, to] = [view.from - room, Math.max(view.from - room + 1000, Math.min(view.to + room, Date.now()))];
    const point = span(view) / Math.max(200, width);
    const buckets = Math.min(10_000, Math.max(1, Math.ceil((to - from) / point)));
    const query = { from: new Date(from).toISOString(), to: new Date(to).toISOString(), buckets: String(buckets) };
    const answers = await Promise.all(
      names.split(",").map((camera) => ask<MotionAnswer>(`/cameras/${encodeURIComponent(camera)}/motion`, { query }).catch(() => null)),
    );
    const strips = new Map<string, Strip>();
    for (const a of answers) if (a?.scores.some((s) => s !== null)) strips.set(a.camera, { from: Date.parse(a.from), to: Date.parse(a.to), scores: a.scores });
    setLoaded({ cameras: names, from, to, point, strips });
  };
  useEffect(() => {
    const l = latest.current.loaded;
    const point = span(view) / Math.max(200, width);
    const fits = l && l.cameras === names && view.from >= l.from && Math.min(view.to, Date.now() - 90_000) <= l.to && point > l.point / 2.2 && point < l.point * 4;
    if (fits) return;
    const timer = setTimeout(() => void load.current(), 160);
    return () => clearTimeout(timer);
  }, [names, view, width]);
  // Scores are kept each minute.
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden && latest.current.view.to > Date.now() - 120_000) void load.current();
    }, 30_000);
    return () => clearInterval(timer);
  }, []);
  return loaded?.cameras === names ? loaded.strips : NONE;
}

const NONE: ReadonlyMap<string, Strip> = new Map();
