import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError } from "~/api/client";

export interface Page<T> {
  items: T[];
  next: string | null;
}

export interface Pages<T> {
  items: T[];
  error: ApiError | null;
  loading: boolean;
  /** Whether there are more. */
  more: boolean;
  loadMore(): void;
  /** Begins anew. */
  reload(): void;
  change(to: (old: T[]) => T[]): void;
}

/** A list that is had a page at a time by cursor. `key` tells lists apart; null asks nothing. */
export function usePages<T>(key: string | null, load: (cursor: string | null, signal: AbortSignal) => Promise<Page<T>>): Pages<T> {
  const [state, setState] = useState<{ items: T[]; next: string | null; begun: boolean; loading: boolean; error: ApiError | null }>({ items: [], next: null, begun: false, loading: key !== null, error: null });
  const [round, setRound] = useState(0);
  const running = useRef<AbortController | null>(null);
  const latest = useRef(load);
  latest.current = load;

  const fetchPage = useCallback(async (cursor: string | null) => {
    running.current?.abort();
    const controller = new AbortController();
    running.current = controller;
    setState((s) => ({ ...s, loading: true, error: null }));
    try {
      const page = await latest.current(cursor, controller.signal);
      if (controller.signal.aborted) return;
      setState((s) => ({ items: cursor === null ? page.items : [...s.items, ...page.items], next: page.next, begun: true, loading: false, error: null }));
    } catch (e) {
      if (controller.signal.aborted) return;
      setState((s) => ({ ...s, loading: false, error: e as ApiError }));
    }
  }, []);

  useEffect(() => {
    setState((s) => ({ ...s, items: [], next: null, begun: false }));
  }, [key]);
  useEffect(() => {
    if (key !== null) void fetchPage(null);
    return () => running.current?.abort();
  }, [key, round, fetchPage]);

  const now = useRef(state);
  now.current = state;
  return {
    items: state.items,
    error: state.error,
    loading: state.loading,
    more: state.begun && state.next !== null,
    loadMore: useCallback(() => {
      const { loading, next } = now.current;
      if (!loading && next !== null) void fetchPage(next);
    }, [fetchPage]),
    reload: useCallback(() => setRound((n) => n + 1), []),
    change: useCallback((to) => setState((s) => ({ ...s, items: to(s.items) })), []),
  };
}
