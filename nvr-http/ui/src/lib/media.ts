import { useEffect, useState } from "react";

/** Whether the display is as a media query says. */
export function useMedia(query: string): boolean {
  const [is, setIs] = useState(() => typeof matchMedia !== "undefined" && matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const look = () => setIs(list.matches);
    look();
    list.addEventListener("change", look);
    return () => list.removeEventListener("change", look);
  }, [query]);
  return is;
}
