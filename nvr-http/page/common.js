// What all parts of the page use: asking the recorder, its clock, and how things are written.

export const api = "/api/v1";
export const $ = (id) => document.getElementById(id);

let ahead = 0; // The recorder's clock less ours, ms.

/** The recorder's time: a browser's clock may be off, and "the last ten seconds" must be the recorder's. */
export const now = () => Date.now() + ahead;

export async function ask(path, options) {
  const response = await fetch(path, options);
  const date = Date.parse(response.headers.get("date"));
  // The header has whole seconds, on average half a second less than the truth.
  if (date && Math.abs(date + 500 - now()) > 1500) ahead = date + 500 - Date.now();
  const kind = response.headers.get("content-type") ?? "";
  const body = kind.includes("json") ? await response.json() : await response.text();
  if (!response.ok) throw new Error([body?.detail ?? response.statusText, body?.hint].filter(Boolean).join("; "));
  return body;
}

export const iso = (ms) => new Date(ms).toISOString();
const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();
/** A time of day, with its date if that is not today. */
export const shown = (ms) => (sameDay(ms, now()) ? new Date(ms).toLocaleTimeString() : new Date(ms).toLocaleString());

export function seconds(s) {
  if (s < 60) return `${s.toFixed(1)} s`;
  s = Math.round(s);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
}

const codecs = { h264: "H.264", h265: "H.265", aac: "AAC", opus: "Opus", pcmu: "G.711 µ-law", pcma: "G.711 A-law", pcm: "PCM" };
export const codecName = (codec) => codecs[codec] ?? codec;

// Bytes for people: "1.5 GiB".
export function sizeName(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit + 1 < units.length; unit++) bytes /= 1024;
  return `${unit ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}
