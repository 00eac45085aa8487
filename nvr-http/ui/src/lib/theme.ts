import { remembered, store } from "./store";

export type Theme = "system" | "light" | "dark";

export const theme = remembered<Theme>("theme", "system", (v) => (v === "system" || v === "light" || v === "dark" ? v : null));

const light = matchMedia("(prefers-color-scheme: light)");
const current = (): "light" | "dark" => {
  const wanted = theme.get();
  if (wanted !== "system") return wanted;
  return light.matches ? "light" : "dark";
};

/** The colours in force. */
export const look = store(current());

const apply = () => {
  document.documentElement.dataset["theme"] = current();
  look.set(current());
};
theme.subscribe(apply);
light.addEventListener("change", apply);
apply();
