/** A text, or one for one thing and one for several (chosen by `n`). Names in braces are put in. */
export type Message = string | { readonly one: string; readonly other: string };

type Same<T> = { readonly [K in keyof T]: T[K] extends string ? string : { readonly one: string; readonly other: string } };

/** The words of one page in every language: what one language has and another has not, fails the type check. */
export function words<const E extends Record<string, Message>>(en: E, de: Same<E>, fr: Same<E>): { en: E; de: Same<E>; fr: Same<E> } {
  return { en, de, fr };
}
