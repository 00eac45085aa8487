import { moment } from "./format";

/** Where the recorder's words have the ids of cameras: before a colon at the begin, in brackets behind the name, and as what a booking has. */
const PLACES = [/^([\w-]+)(?=: )/, /(?<=\bhas )([\w-]+(?:, [\w-]+)*)(?= from )/g, /(?<=\bcameras? )([\w-]+(?:, [\w-]+)*)/g];
const TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)/g;

/** The recorder's words with the names of cameras in place of their ids, and times as they are here. */
export function named(text: string, cameras: readonly { id: string; name: string }[] | undefined): string {
  const names = new Map(cameras?.map((c) => [c.id, c.name]));
  const list = (ids: string) => ids.split(", ").map((id) => names.get(id) ?? id).join(", ");
  let out = text;
  // "Front door (front)" says the same twice.
  for (const [id, name] of names) out = out.replaceAll(`${name} (${id})`, name);
  for (const place of PLACES) out = out.replace(place, list);
  return out.replace(TIME, (time) => moment(time));
}
