import { type RefObject, useEffect, useRef } from "react";

/** At which sides there is more than is seen. Parts of pixels are none. */
export function sidesOf({ scrollLeft, scrollWidth, clientWidth }: Pick<Element, "scrollLeft" | "scrollWidth" | "clientWidth">): string {
  return [scrollLeft > 1 && "start", scrollLeft + clientWidth < scrollWidth - 1 && "end"].filter(Boolean).join(" ");
}

/** Says of a box that scrolls sideways, as `data-more`, where there is more: it fades there. */
export function useEdges<T extends HTMLElement>(): RefObject<T | null> {
  const box = useRef<T>(null);
  const look = useRef(() => {
    const sides = box.current ? sidesOf(box.current) : "";
    if (box.current && box.current.dataset["more"] !== sides) box.current.dataset["more"] = sides;
  });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(look.current);
    observer.observe(element);
    element.addEventListener("scroll", look.current, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look.current);
    };
  }, []);
  // What is in it may have become wider.
  useEffect(look.current);
  return box;
}
