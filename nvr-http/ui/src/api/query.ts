import { useCallback, useEffect, useRef, useState } from "react";
import { type ApiError } from "./client";
import { useEvents } from "./events";

interface Entry {
  value: unknown;
}

/** Last answers by key, so that a page shown again is there at once. */
const cache = new Map<string, Entry>();

export interface Query<T> {
  data: T | undefined;
  error: ApiError | null;
  loading: boolean;
  /** Asks again now. */
  reload(): Promise<void>;
  /** Changes what is shown until the next answer. */
  change(to: (old: T) => T): void;
}

export interface QueryOptions {
  /** Asks again after so many milliseconds, while the page is visible. */
  every?: number;
  /** Asks again when an event of these kinds happens. */
  on?: readonly string[];
}

/** What `load` answers, asked again as the options say. `key` tells answers apart; null asks nothing. */
export function useQuery<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>, { every, on }: QueryOptions = {}): Query<T> {
  const [, redraw] = useState(0);
  const [error, setError] = useState<ApiError | null>(null);
  const [loading, setLoading] = useState(key !== null);
  const latest = useRef(load);
  latest.current = load;
  const running = useRef<AbortController | null>(null);

  const reload = useCallback(async () => {
    if (key === null) return;
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setLoading(true);
    try {
      const value = await latest.current(controller.signal);
      if (controller.signal.aborted) return;
      cache.set(key, { value });
      setError(null);
    } catch (e) {
      if (controller.signal.aborted) return;
      setError(e as ApiError);
    }
    setLoading(false);
    redraw((n) => n + 1);
  }, [key]);

  useEffect(() => {
    setError(null);
    void reload();
    return () => running.current?.abort();
  }, [reload]);

  useEffect(() => {
    if (!every || key === null) return;
    const timer = setInterval(() => {
      if (!document.hidden) void reload();
    }, every);
    return () => clearInterval(timer);
  }, [every, key, reload]);

  // Several events at once are one reason to ask.
  const soon = useRef<ReturnType<typeof setTimeout> | null>(null);
  useEvents(on ?? [], () => {
    if (soon.current) return;
    soon.current = setTimeout(() => {
      soon.current = null;
      void reload();
    }, 150);
  });
  useEffect(() => () => { if (soon.current) clearTimeout(soon.current); }, []);

  const change = useCallback(
    (to: (old: T) => T) => {
      if (key === null) return;
      const entry = cache.get(key);
      if (entry) cache.set(key, { value: to(entry.value as T) });
      redraw((n) => n + 1);
    },
    [key],
  );

  const data = key === null ? undefined : (cache.get(key)?.value as T | undefined);
  return { data, error, loading, reload, change };
}

/** Forgets all answers: another user sees other things. */
export const forgetAnswers = (): void => cache.clear();
