import { type RefObject, useEffect, useLayoutEffect, useState } from "react";

/** Where rows of given heights begin; one more than there are rows, the last being the height of all. */
export function offsets(heights: readonly number[]): number[] {
  const all = [0];
  let sum = 0;
  for (const height of heights) all.push((sum += height));
  return all;
}

/** The rows that touch `top` to `bottom`, with a few around them: first, and behind the last. */
export function visible(starts: readonly number[], top: number, bottom: number, around = 6): [number, number] {
  const rows = starts.length - 1;
  const find = (y: number) => {
    let [low, high] = [0, rows];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((starts[middle] ?? 0) <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  };
  return [Math.max(0, find(top) - around), Math.min(rows, find(bottom) + 1 + around)];
}

/** What of an element that scrolls is seen. */
export function useScroll(element: RefObject<HTMLElement | null>): { top: number; height: number } {
  const [seen, setSeen] = useState({ top: 0, height: 800 });
  useLayoutEffect(() => {
    if (element.current) setSeen({ top: element.current.scrollTop, height: element.current.clientHeight });
  }, [element]);
  useEffect(() => {
    const now = element.current;
    if (!now) return;
    const look = () => setSeen((old) => (Math.abs(old.top - now.scrollTop) > 20 || old.height !== now.clientHeight ? { top: now.scrollTop, height: now.clientHeight } : old));
    now.addEventListener("scroll", look, { passive: true });
    const sizes = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(look);
    sizes?.observe(now);
    return () => {
      now.removeEventListener("scroll", look);
      sizes?.disconnect();
    };
  }, [element]);
  return seen;
}
