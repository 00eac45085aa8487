import { remembered } from "./store";

export type Theme = "system" | "light" | "dark";

export const theme = remembered<Theme>("theme", "system", (v) => (v === "system" || v === "light" || v === "dark" ? v : null));

const apply = () => {
  const root = document.documentElement;
  if (theme.get() === "system") root.removeAttribute("data-theme");
  else root.dataset["theme"] = theme.get();
};
theme.subscribe(apply);
apply();
