import { alerts } from "./messages/alerts";
import { bookings } from "./messages/bookings";
import { causes } from "./messages/causes";
import { common } from "./messages/common";
import { events } from "./messages/events";
import { jobs } from "./messages/jobs";
import { live } from "./messages/live";
import { privacy } from "./messages/privacy";
import { ptz } from "./messages/ptz";
import { pushes } from "./messages/pushes";
import { recordings } from "./messages/recordings";
import { settings } from "./messages/settings";
import { stills } from "./messages/stills";
import { storage } from "./messages/storage";
import { system } from "./messages/system";
import { share } from "./messages/share";
import { timeline } from "./messages/timeline";
import { users } from "./messages/users";
import { zones } from "./messages/zones";

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français" } as const;
export type Language = keyof typeof LANGUAGES;

/** All words of the page. A page's words are one file in `messages/`, entered here. */
export const catalogue = { common, live, timeline, recordings, jobs, storage, system, settings, users, privacy, share, pushes, events, ptz, bookings, alerts, stills, zones, causes };

type Catalogue = typeof catalogue;
type Words = { [N in keyof Catalogue]: Catalogue[N]["en"] };

/** `"common.save"` */
export type Key = { [N in keyof Words & string]: `${N}.${keyof Words[N] & string}` }[keyof Words & string];

type Value<K extends Key> = K extends `${infer N extends keyof Words & string}.${infer M}` ? (M extends keyof Words[N] ? Words[N][M] : never) : never;

type Names<S> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;

/** What has to be put in: the names in braces of the English text. */
type NamesOf<V> = V extends { one: infer One; other: infer Other } ? Names<One> | Names<Other> | "n" : Names<V>;

export type Args<K extends Key> = [NamesOf<Value<K>>] extends [never] ? [] : [values: Record<NamesOf<Value<K>>, string | number>];

/** A key whose text takes nothing. */
export type PlainKey = { [K in Key]: Args<K> extends [] ? K : never }[Key];
