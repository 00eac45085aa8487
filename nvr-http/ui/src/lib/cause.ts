import type { Cause } from "~/api/types";
import type { t } from "~/i18n";
import { causes } from "~/i18n/messages/causes";

type Kind = keyof typeof causes.en;

/** What kind of cause it is, in the language of the page; null for one that this page does not know yet. */
export function causeKind(say: typeof t, { kind }: Pick<Cause, "kind">): string | null {
  return Object.hasOwn(causes.en, kind) ? say(`causes.${kind as Kind}`) : null;
}

/** What the recorder said, where that is more than the kind says already. */
export function causeDetail(kind: string | null, message: string | undefined): string {
  return !message || kind?.toLowerCase() === message.toLowerCase() ? "" : message;
}

/** The kind, and as detail the recorder's own words: for where there is one line. Empty when nothing is known. */
export function causeLine(say: typeof t, cause: Partial<Cause> | null | undefined): string {
  const kind = cause?.kind ? causeKind(say, { kind: cause.kind }) : null;
  return [kind, causeDetail(kind, cause?.message)].filter(Boolean).join(": ");
}
