// The cameras: their state, a picture of each, and the orders one can give them.

import { $, api, ask, codecName, now, shown, sizeName } from "./common.js";
import { cameraChanged, view } from "./viewer.js";

const cards = new Map();
const STALE_MS = 30_000; // A camera that is down is asked this often for its last recorded picture.

const good = (camera) => camera.state === "recording" || camera.state === "standby";

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

async function order(card, path) {
  card.error.hidden = true;
  try {
    await ask(`${api}/cameras/${card.camera.id}/${path}`, { method: "POST" });
  } catch (e) {
    card.error.textContent = e.message;
    card.error.hidden = false;
  }
  await refresh();
}

function make(id) {
  const li = $("camera").content.firstElementChild.cloneNode(true);
  const part = (name) => li.querySelector(`.${name}`);
  const card = { li, img: li.querySelector("img"), asked: 0 };
  for (const name of ["open", "none", "age", "name", "state", "cause", "what", "stored", "record", "stop", "start", "error"]) card[name] = part(name);
  li.dataset.id = id;
  card.open.onclick = () => view(card.camera);
  card.start.onclick = () => order(card, "start");
  card.stop.onclick = () => order(card, "stop");
  card.record.onclick = () => order(card, card.camera.manual ? "record?stop=true" : "record");
  cards.set(id, card);
  $("cameras").append(li);
  return card;
}

function show(camera) {
  const card = cards.get(camera.id) ?? make(camera.id);
  card.camera = camera;
  put(card.name, camera.name);
  card.img.alt = `Picture of ${camera.name}`;
  card.state.className = `state ${camera.state}`;
  put(card.state, camera.state.replace("_", " "));
  const again = camera.next_try && Date.parse(camera.next_try) > now() ? `; next try at ${shown(Date.parse(camera.next_try))}` : "";
  put(card.cause, good(camera) ? `since ${shown(Date.parse(camera.since))}` : camera.cause.message.replace(/\.$/, "") + again);
  const t = camera.tracks;
  const parts = t ? [`${t.video.width}×${t.video.height}`, codecName(t.video.codec)] : [];
  if (t?.audio) parts.push(`sound ${codecName(t.audio.codec)}`);
  put(card.what, [...parts, camera.source.replace(/^test:.*/, "test picture")].join(" · "));
  card.record.hidden = camera.record !== "manual" || !good(camera);
  put(card.record, camera.manual ? "Stop recording" : "Record");
  card.stop.hidden = camera.state === "stopped";
  card.start.hidden = camera.state !== "stopped" || !camera.enabled;
  card.li.classList.toggle("down", !good(camera));
  cameraChanged(camera);
}

async function refresh() {
  try {
    const [cameras, health] = await Promise.all([ask(`${api}/cameras`), ask("/health")]);
    cameras.forEach(show);
    for (const [id, card] of cards) if (!cameras.some((c) => c.id === id)) { card.li.remove(); cards.delete(id); }
    const words = health.problems.map((p) => `${p.camera ?? "recorder"}: ${p.cause.message}`);
    put($("health"), health.status === "ok" ? "All is well" : words.join(" · "));
    if (!cameras.length) put($("health"), "No cameras yet: add one to nvr.toml");
    $("health").className = health.status;
  } catch (e) {
    put($("health"), `The recorder does not answer: ${e.message}`);
    $("health").className = "degraded";
  }
}

// One picture after the other: a slow line gets fewer, never a queue.
async function pictures() {
  for (const [id, card] of [...cards]) {
    const { camera } = card;
    // Where nothing was recorded yet there is none, and asking would only give an error.
    const some = good(camera) && camera.last_frame;
    if (document.hidden || !(some || (card.had && now() - card.asked > STALE_MS))) continue;
    card.asked = now();
    try {
      const response = await fetch(`${api}/cameras/${id}/snapshot.jpg?width=480`);
      if (!response.ok) continue;
      const at = Date.parse(response.headers.get("x-frame-time"));
      const old = card.img.src;
      card.img.src = URL.createObjectURL(await response.blob());
      if (old) URL.revokeObjectURL(old);
      card.img.hidden = false;
      card.none.hidden = true;
      card.had = at;
    } catch { /* the next round */ }
  }
  for (const card of cards.values()) {
    card.age.hidden = !card.had || now() - card.had < 15_000;
    if (!card.age.hidden) put(card.age, shown(card.had));
  }
  setTimeout(pictures, 1000);
}

const days = (n) => `${n < 10 ? n.toFixed(1) : Math.round(n)} days`;

// What each has on disk. Cameras that are down now may have footage: then their last picture is shown.
async function footage() {
  const storage = await ask(`${api}/storage`).catch(() => null);
  if (!storage) return;
  for (const { camera, newest, size_bytes, recorded_seconds, bytes_per_hour } of storage.cameras) {
    const card = cards.get(camera);
    if (!card) continue;
    if (newest) card.had ??= Date.parse(newest);
    const rate = bytes_per_hour ? ` · ${sizeName(bytes_per_hour)} an hour` : "";
    put(card.stored, size_bytes ? `${(recorded_seconds / 3600).toFixed(1)} h, ${sizeName(size_bytes)}${rate}` : "");
  }
  const free = `${sizeName(storage.disk_available_bytes)} of ${sizeName(storage.disk_total_bytes)} free`;
  const left = storage.days_left;
  put($("disk"), left === null ? free : `${free}, ${left > 0 ? `room for ${days(left)}` : "the oldest footage makes room"}`);
}

await refresh();
await footage();
pictures();
setInterval(refresh, 2000);
setInterval(footage, 30_000);
