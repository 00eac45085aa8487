import { remembered, useStore } from "~/lib/store";
import { type Args, type Key, LANGUAGES, type Language, catalogue } from "./catalogue";
import type { Message } from "./words";

export { LANGUAGES, type Key, type Language };
export type { PlainKey } from "./catalogue";

function preferred(): Language {
  for (const tag of navigator.languages ?? []) {
    const short = tag.slice(0, 2).toLowerCase();
    if (short in LANGUAGES) return short as Language;
  }
  return "en";
}

export const language = remembered<Language>("language", preferred(), (v) => (typeof v === "string" && v in LANGUAGES ? (v as Language) : null));

const follow = () => {
  document.documentElement.lang = language.get();
};
language.subscribe(follow);
follow();

/** The tag for dates and numbers: the browser's region where it speaks that language. */
export function locale(): string {
  return navigator.languages?.find((tag) => tag.toLowerCase().startsWith(language.get())) ?? language.get();
}

/** The text of a key in the language chosen. */
export function t<K extends Key>(key: K, ...args: Args<K>): string {
  const [space, name] = key.split(".") as [keyof typeof catalogue, string];
  const message = (catalogue[space][language.get()] as Record<string, Message>)[name] ?? key;
  const values = (args[0] ?? {}) as Record<string, string | number>;
  const text = typeof message === "string" ? message : new Intl.PluralRules(language.get()).select(Number(values["n"])) === "one" ? message.one : message.other;
  return text.replace(/\{(\w+)\}/g, (whole, part: string) => {
    const value = values[part];
    return value === undefined ? whole : typeof value === "number" ? value.toLocaleString(locale()) : value;
  });
}

/** `t`, in a component that is drawn anew when the language changes. */
export function useT(): typeof t {
  useStore(language);
  return t;
}
