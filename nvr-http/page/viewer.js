// One camera: live, or any recorded moment, with its timeline and clips to save.

import { $, api, ask, iso, now, seconds, shown } from "./common.js";
import { playLive } from "./live.js";

const CLIP_MS = 600_000; // Length of what is played as one file.
const video = $("video");
const still = $("still");
let open = null; // What is looked at; see `view`.

const base = () => `${api}/cameras/${open.id}`;

/** Looks at a camera: live when there is something, else its newest footage. */
export function view(camera) {
  close();
  open = { id: camera.id, camera, ranges: [], from: 0, to: 0, at: null, utcOf: null, clip: null, stop: null };
  $("viewer").hidden = false;
  $("viewer-title").textContent = camera.name;
  $("viewer").scrollIntoView({ behavior: "smooth" });
  const of = open;
  look().then(() => {
    if (open !== of) return;
    if (camera.state === "recording" || camera.state === "standby") return live();
    const last = open?.ranges.at(-1);
    if (last) return playAt(Math.max(last.start, last.end - 30_000));
    say(`${camera.cause.message}; nothing is recorded in this time`);
  });
}

export function cameraChanged(camera) {
  if (open?.id === camera.id) open.camera = camera;
}

function close() {
  halt();
  open = null;
  $("viewer").hidden = true;
}

const say = (text) => { if ($("playing").textContent !== text) $("playing").textContent = text; };

/** Ends what is playing. */
function halt() {
  open?.stop?.abort();
  if (open) Object.assign(open, { stop: null, clip: null, utcOf: null });
  video.pause();
  video.removeAttribute("src");
  video.load();
  showStill(null);
  $("live").removeAttribute("aria-pressed");
}

function showStill(url) {
  if (still.src.startsWith("blob:")) URL.revokeObjectURL(still.src);
  still.hidden = !url;
  video.hidden = !!url;
  if (url) still.src = url; else still.removeAttribute("src");
}

async function live() {
  halt();
  const stop = new AbortController();
  open.stop = stop;
  $("live").setAttribute("aria-pressed", "true");
  say("Live: connecting …");
  while (!stop.signal.aborted) {
    let reason;
    try {
      reason = await playLive(video, base(), stop.signal, (utcOf) => { open.utcOf = utcOf; });
    } catch (e) {
      if (stop.signal.aborted) return;
      reason = e.message;
    }
    if (stop.signal.aborted) return;
    open.utcOf = null;
    video.removeAttribute("src");
    await pictures(reason, stop.signal);
  }
}

/** Pictures instead of video, for ten seconds; then video is tried again. */
async function pictures(reason, signal) {
  for (let n = 0; n < 10 && !signal.aborted; n++) {
    if (open.camera.state === "recording" || open.camera.state === "standby") {
      await picture("", `Live, one picture a second: ${reason}`, signal);
    } else say(`Not live: ${open.camera.cause.message}`);
    await new Promise((done) => setTimeout(done, 1000));
  }
}

async function picture(query, words, signal) {
  const response = await fetch(`${base()}/snapshot.jpg?width=1280${query}`, { signal }).catch(() => null);
  if (!response?.ok || signal.aborted) return;
  const blob = await response.blob();
  if (signal.aborted) return;
  open.at = Date.parse(response.headers.get("x-frame-time"));
  showStill(URL.createObjectURL(blob));
  still.alt = `Picture of ${open.camera.name}`;
  say(`${shown(open.at)} · ${words}`);
  draw();
}

/** Fetches the timeline of the span that is shown. */
async function look() {
  const of = open;
  const to = now();
  const from = to - Number($("span").value) * 1000;
  const t = await ask(`${base()}/timeline?from=${iso(from)}&to=${iso(to)}&resolution=${(to - from) / 1e6}`)
    .catch((e) => { say(e.message); return null; });
  if (!t || open !== of) return;
  open.from = from;
  open.to = to;
  open.ranges = t.ranges.map((r) => ({ start: Date.parse(r.start), end: Date.parse(r.end) }));
  draw();
  const gaps = t.gaps.slice(-20).reverse().map((g) => {
    const li = document.createElement("li");
    const [start, end] = [Date.parse(g.start), Date.parse(g.end)];
    li.textContent = `${shown(start)}, ${seconds((end - start) / 1000)}: ${g.cause.message || "cause unknown"}`;
    return li;
  });
  $("missing").hidden = !gaps.length;
  $("missing").querySelector("summary").textContent = `Missing: ${seconds(t.totals.missing_seconds)} in ${t.gaps.length} ${t.gaps.length === 1 ? "gap" : "gaps"}`;
  $("gaps").replaceChildren(...gaps);
  if (!$("from").value) mark(Math.max(from, to - 60_000), to);
}

function draw() {
  const part = (ms) => Math.min(1, Math.max(0, (ms - open.from) / (open.to - open.from)));
  const block = (name, from, to) => {
    const div = document.createElement("div");
    div.className = name;
    div.style.left = `${part(from) * 100}%`;
    if (to) div.style.width = `${(part(to) - part(from)) * 100}%`;
    return div;
  };
  const bars = open.ranges.map((r) => block("have", r.start, r.end));
  const [a, b] = chosen();
  if (a < b) bars.push(block("clip", a, b));
  const at = open.at ?? open.to;
  $("bar").replaceChildren(...bars, block("mark", at));
  $("bar").setAttribute("aria-valuenow", Math.round(part(at) * 1000));
  $("bar").setAttribute("aria-valuetext", shown(at));
  $("bar-from").textContent = shown(open.from);
  $("bar-to").textContent = shown(open.to);
}

/**
 * What is played as one file from a moment on: footage of one format, and which UTC its parts are, because a
 * clip leaves gaps out. Null when nothing follows.
 */
async function clipFrom(ms, signal) {
  const query = `from=${iso(ms)}&to=${iso(ms + 7 * 86_400_000)}&limit=50`;
  const { segments } = await ask(`${base()}/segments?${query}`, { signal });
  const parts = [];
  const last = open.ranges.at(-1);
  let left = CLIP_MS;
  for (const s of segments) {
    if (s.container !== "fmp4" || s.state === "missing") continue;
    if (parts.length && JSON.stringify(s.tracks) !== JSON.stringify(parts[0].tracks)) break;
    const start = Math.max(ms, Date.parse(s.start));
    const growing = s.state === "open";
    const end = growing ? Math.max(last?.end ?? 0, Date.parse(s.start)) : Date.parse(s.start) + s.duration_seconds * 1000;
    const stop = Math.min(end, start + left);
    if (stop - start < 100) continue;
    left -= stop - start;
    parts.push({ start, end: stop, tracks: s.tracks });
    if (left <= 0 || growing) break;
  }
  return parts.length ? parts : null;
}

/** Plays from a moment on, or from the next one that is recorded. */
async function playAt(ms) {
  halt();
  const stop = new AbortController();
  open.stop = stop;
  open.at = ms;
  draw();
  try {
    let parts = await clipFrom(ms, stop.signal);
    // Behind the last footage there is only what is recorded now.
    if (!parts && open.ranges.length) parts = await clipFrom(Math.max(open.ranges.at(-1).start, open.ranges.at(-1).end - 5000), stop.signal);
    if (!parts) return say("Nothing is recorded from there on");
    const [from, to] = [parts[0].start, parts.at(-1).end];
    mark(from, Math.min(from + 60_000, to));
    const codec = parts[0].tracks.video.codec;
    if (codec === "h265" && !video.canPlayType('video/mp4; codecs="hvc1.1.6.L93.B0"')) {
      return await picture(`&at=${iso(from)}`, "this browser cannot play H.265: a picture; save the clip to play it elsewhere", stop.signal);
    }
    open.clip = { parts, to };
    open.utcOf = (time) => utcIn(parts, time);
    open.at = from;
    video.src = `${base()}/export.mp4?from=${iso(from)}&to=${iso(to)}`;
    video.play().catch(() => {});
    draw();
  } catch (e) {
    if (!stop.signal.aborted) say(e.message);
  }
}

/** UTC of a time in a clip: the parts follow each other without the gaps. */
function utcIn(parts, time) {
  let left = time * 1000;
  for (const p of parts) {
    if (left < p.end - p.start) return p.start + left;
    left -= p.end - p.start;
  }
  return parts.at(-1).end;
}

const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
const chosen = () => [$("from").value, $("to").value].map((v) => new Date(v).getTime());

function mark(from, to) {
  $("from").value = local(Math.floor(from / 1000) * 1000);
  $("to").value = local(Math.ceil(to / 1000) * 1000);
  link();
}

/** Asks first whether there is such a clip: a browser would only say that a download failed. */
async function save(event) {
  event.preventDefault();
  const address = $("save").getAttribute("href");
  if (!address) return;
  const error = $("save-error");
  try {
    await ask(address, { headers: { range: "bytes=0-0" } });
    error.hidden = true;
    const link = document.createElement("a");
    link.href = address;
    link.download = "";
    link.click();
  } catch (e) {
    error.textContent = `This clip cannot be saved: ${e.message}`;
    error.hidden = false;
  }
}

function link() {
  $("save-error").hidden = true;
  const [from, to] = chosen();
  const usable = open && from < to;
  if (usable) $("save").href = `${base()}/export.mp4?format=mp4&download=true&from=${iso(from)}&to=${iso(to)}`;
  else $("save").removeAttribute("href");
  $("size").textContent = usable ? seconds((to - from) / 1000) : "the end is before the beginning";
}

video.addEventListener("timeupdate", () => {
  if (!open?.utcOf || !video.currentSrc) return;
  open.at = open.utcOf(video.currentTime);
  say(`${shown(open.at)}${open.clip ? "" : " · live"}`);
  draw();
});
video.addEventListener("ended", () => {
  if (!open?.clip) return;
  const { to } = open.clip;
  look().then(() => (open.ranges.some((r) => r.end > to + 1000) ? playAt(to) : say(`${shown(to)} · the end of what is recorded`)));
});
video.addEventListener("error", async () => {
  if (!open?.clip) return;
  const address = video.getAttribute("src");
  if (!address) return;
  const reason = await ask(address, { headers: { range: "bytes=0-0" } }).then(() => "this browser cannot play it; save the clip to play it elsewhere", (e) => e.message);
  say(`Cannot play this: ${reason}`);
});
$("bar").addEventListener("click", (e) => {
  const box = $("bar").getBoundingClientRect();
  playAt(open.from + ((e.clientX - box.left) / box.width) * (open.to - open.from));
});
$("bar").addEventListener("keydown", (e) => {
  const step = (open.to - open.from) / (e.shiftKey ? 20 : 100);
  if (e.key === "ArrowLeft") playAt((open.at ?? open.to) - step);
  else if (e.key === "ArrowRight") playAt((open.at ?? open.to) + step);
  else return;
  e.preventDefault();
});
$("live").addEventListener("click", live);
$("close").addEventListener("click", close);
$("save").addEventListener("click", save);
$("span").addEventListener("change", look);
for (const id of ["from", "to"]) $(id).addEventListener("input", () => { link(); if (open) draw(); });
$("range").addEventListener("submit", (e) => e.preventDefault());
setInterval(() => { if (open && !document.hidden) look(); }, 10_000);
