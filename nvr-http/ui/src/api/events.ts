import { useEffect, useRef } from "react";
import { url } from "./client";
import { store } from "~/lib/store";
import type { NvrEvent } from "./types";

type Listener = (event: NvrEvent) => void;

/** Kinds of events that pages listen for, and who does. */
const listeners = new Map<string, Set<Listener>>();
let source: EventSource | null = null;
let again: ReturnType<typeof setTimeout> | null = null;
let wait = 1000;

/** Whether events arrive. */
export const connected = store(false);
/** Told when events arrive again: what happened in between is not known. */
export const reconnected = new Set<() => void>();

const dispatch = (message: MessageEvent<string>) => {
  let event: NvrEvent;
  try {
    event = JSON.parse(message.data) as NvrEvent;
  } catch {
    return;
  }
  for (const name of [event.kind, "*"]) for (const listener of listeners.get(name) ?? []) listener(event);
};

/** Keeps one stream of all events open while anybody listens. */
function connect(): void {
  if (source || typeof EventSource === "undefined") return;
  let lost = false;
  source = new EventSource(url("/events"));
  source.onopen = () => {
    wait = 1000;
    connected.set(true);
    if (lost || again) for (const tell of reconnected) tell();
    again = null;
    lost = false;
  };
  source.onmessage = dispatch;
  for (const kind of listeners.keys()) source.addEventListener(kind, dispatch as (e: Event) => void);
  source.onerror = () => {
    connected.set(false);
    lost = true;
    // After a refusal a browser does not try again by itself.
    if (source?.readyState !== EventSource.CLOSED) return;
    disconnect();
    again = setTimeout(() => listeners.size && connect(), wait);
    wait = Math.min(wait * 2, 15_000);
  };
}

function disconnect(): void {
  source?.close();
  source = null;
  connected.set(false);
}

/** Ends the stream, and begins it anew for another user. */
export function restartEvents(): void {
  disconnect();
  if (listeners.size) connect();
}

export function listen(kinds: readonly string[], listener: Listener): () => void {
  for (const kind of kinds) {
    const set = listeners.get(kind) ?? new Set();
    if (!listeners.has(kind)) source?.addEventListener(kind, dispatch as (e: Event) => void);
    listeners.set(kind, set.add(listener));
  }
  connect();
  return () => {
    for (const kind of kinds) listeners.get(kind)?.delete(listener);
  };
}

/** Calls back for each event of the kinds (`"*"`: of all that somebody named). */
export function useEvents(kinds: readonly string[], listener: Listener): void {
  const latest = useRef(listener);
  latest.current = listener;
  const names = kinds.join(",");
  useEffect(() => {
    if (!names) return;
    return listen(names.split(","), (event) => latest.current(event));
  }, [names]);
}
