import { useSyncExternalStore } from "react";

/** A value that components can watch. */
export interface Store<T> {
  get(): T;
  set(next: T | ((old: T) => T)): void;
  subscribe(listener: () => void): () => void;
}

export function store<T>(initial: T): Store<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      const fresh = typeof next === "function" ? (next as (old: T) => T)(value) : next;
      if (Object.is(fresh, value)) return;
      value = fresh;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A store that remembers its value in this browser. `read` refuses what it does not know by returning null. */
export function remembered<T>(key: string, initial: T, read: (value: unknown) => T | null): Store<T> {
  let first = initial;
  try {
    const text = localStorage.getItem(`nvr.${key}`);
    if (text !== null) first = read(JSON.parse(text)) ?? initial;
  } catch {
    // No storage, or nonsense in it.
  }
  const inner = store(first);
  inner.subscribe(() => {
    try {
      localStorage.setItem(`nvr.${key}`, JSON.stringify(inner.get()));
    } catch {
      // Then it lasts as long as the page.
    }
  });
  return inner;
}

export function useStore<T>(s: Store<T>): T {
  return useSyncExternalStore(s.subscribe, s.get);
}
