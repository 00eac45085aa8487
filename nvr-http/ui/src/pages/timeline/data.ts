import { useEffect, useRef, useState } from "react";
import { ask } from "~/api/client";
import { useEvents } from "~/api/events";
import type { Cause, TimelineAnswer } from "~/api/types";
import { type View, span } from "./scale";

export interface Band {
  start: number;
  end: number;
}

export interface Lane {
  camera: string;
  ranges: (Band & { growing: boolean })[];
  gaps: (Band & { cause: Cause })[];
  events: { at: number; kind: string; detail: Record<string, unknown> }[];
}

interface Loaded {
  cameras: string;
  from: number;
  to: number;
  /** Milliseconds that a point stands for. */
  point: number;
  lanes: Lane[];
}

/** What happens all the time is no news. */
const DULL = new Set(["segment_opened", "segment_closed", "run_started", "job_changed", "config_reloaded", "gap_closed", "gap_opened"]);
const DULL_STATES = new Set(["connecting", "recording", "standby"]);

function laneOf(answer: TimelineAnswer): Lane {
  return {
    camera: answer.camera,
    ranges: answer.ranges.map((r) => ({ start: Date.parse(r.start), end: Date.parse(r.end), growing: r.growing })),
    gaps: answer.gaps.map((g) => ({ start: Date.parse(g.start), end: Date.parse(g.end), cause: g.cause })),
    events: answer.events
      .filter((e) => !DULL.has(e.kind) && !(e.kind === "camera_state" && DULL_STATES.has(String(e.detail["to"]))))
      .map((e) => ({ at: Date.parse(e.at), kind: e.kind, detail: e.detail }))
      .sort((a, b) => a.at - b.at),
  };
}

/** The lanes of some cameras for a view, with room at both sides, and anew when that room or the detail is used up. */
export function useLanes(cameras: readonly string[], view: View, width: number): Lane[] {
  const [loaded, setLoaded] = useState<Loaded | null>(null);
  const latest = useRef({ cameras, view, width, loaded });
  latest.current = { cameras, view, width, loaded };
  const running = useRef<AbortController | null>(null);
  const names = cameras.join(",");

  const load = async () => {
    const { view, width } = latest.current;
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    if (!names) return setLoaded(null);
    const room = span(view);
    const [from, to] = [view.from - room, Math.min(view.to + room, Math.max(view.to, Date.now()))];
    const point = span(view) / Math.max(200, width);
    try {
      const query = { cameras: names, from: new Date(from).toISOString(), to: new Date(to).toISOString(), resolution: (point / 1000).toFixed(3) };
      const answers = await ask<TimelineAnswer[]>("/timeline", { query, signal: controller.signal });
      if (!controller.signal.aborted) setLoaded({ cameras: names, from, to, point, lanes: answers.map(laneOf) });
    } catch {
      // What is shown stays; the banner tells when the recorder is away.
    }
  };
  const again = useRef(load);
  again.current = load;

  // While the view moves, requests would only pile up: a moment of rest first, unless nothing is shown.
  useEffect(() => {
    const l = latest.current.loaded;
    const fits = l && l.cameras === names && view.from >= l.from && view.to <= Math.max(l.to, Date.now()) && span(view) / Math.max(200, width) > l.point / 2.2 && span(view) / Math.max(200, width) < l.point * 4;
    if (fits) return;
    const timer = setTimeout(() => void again.current(), l && l.cameras === names ? 120 : 0);
    return () => clearTimeout(timer);
  }, [names, view, width]);

  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden && latest.current.view.to > Date.now() - 60_000) void again.current();
    }, 8000);
    return () => {
      clearInterval(timer);
      running.current?.abort();
    };
  }, []);
  useEvents(["camera_state", "gap_closed", "footage_deleted"], () => void again.current());

  return loaded && loaded.cameras === names ? loaded.lanes : cameras.map((camera) => ({ camera, ranges: [], gaps: [], events: [] }));
}

/** The stretch of something at a moment. */
export const bandAt = <T extends Band>(bands: readonly T[], time: number): T | undefined => bands.find((b) => b.start <= time && time < b.end);

/** Whether there is footage of a moment; what grows reaches to now. */
export const hasFootage = (lane: Lane, time: number): boolean => lane.ranges.some((r) => time >= r.start && (time < r.end || (r.growing && time <= Date.now())));
