// The page: polls the cameras, shows a picture of each, plays and saves what was recorded.

const api = "/api/v1";
const $ = (id) => document.getElementById(id);
const cards = new Map();
let open = null; // { id, name, from, to, ranges, clip: { from, to } }

async function ask(path, options) {
  const response = await fetch(path, options);
  const kind = response.headers.get("content-type") ?? "";
  const body = kind.includes("json") ? await response.json() : null;
  if (!response.ok) throw new Error([body?.detail ?? response.statusText, body?.hint].filter(Boolean).join("; "));
  return body;
}

const order = (path) => ask(path, { method: "POST" }).catch((e) => alert(e.message)).then(refresh);
const iso = (ms) => new Date(ms).toISOString();
const shown = (ms) => new Date(ms).toLocaleString();

function seconds(s) {
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
}

function card(camera) {
  let li = cards.get(camera.id);
  if (!li) {
    li = $("camera").content.firstElementChild.cloneNode(true);
    cards.set(camera.id, li);
    $("cameras").append(li);
    li.querySelector(".open").onclick = () => view(camera.id, li.querySelector(".name").textContent);
    li.querySelector(".start").onclick = () => order(`${api}/cameras/${camera.id}/start`);
    li.querySelector(".stop").onclick = () => order(`${api}/cameras/${camera.id}/stop`);
  }
  const set = (name, text) => { const e = li.querySelector(name); if (e.textContent !== text) e.textContent = text; };
  set(".name", camera.name);
  li.querySelector("img").alt = `Picture of ${camera.name}`;
  li.querySelector(".state").className = `state ${camera.state}`;
  set(".state", camera.state.replace("_", " "));
  const good = camera.state === "recording" || camera.state === "standby";
  const again = camera.next_try ? `; again at ${new Date(camera.next_try).toLocaleTimeString()}` : "";
  set(".cause", good ? `since ${shown(camera.since)}` : camera.cause.message + again);
  const t = camera.tracks;
  const parts = t ? [`${t.video.width}×${t.video.height}`, t.video.codec.toUpperCase()] : [];
  if (t?.audio) parts.push(`with sound (${t.audio.codec})`);
  set(".what", [...parts, camera.source].join(" · "));
  const record = li.querySelector(".record");
  record.hidden = camera.record !== "manual" || !good;
  record.textContent = camera.manual ? "Stop recording" : "Record";
  record.onclick = () => order(`${api}/cameras/${camera.id}/record${camera.manual ? "?stop=true" : ""}`);
  li.querySelector(".stop").hidden = camera.state === "stopped";
  li.querySelector(".start").hidden = camera.state !== "stopped" || camera.record === "off";
  li.dataset.live = good;
}

async function refresh() {
  try {
    const [cameras, health] = await Promise.all([ask(`${api}/cameras`), ask("/health")]);
    cameras.forEach(card);
    for (const [id, li] of cards) if (!cameras.some((c) => c.id === id)) { li.remove(); cards.delete(id); }
    const words = health.problems.map((p) => `${p.camera ?? "recorder"}: ${p.cause.message}`);
    $("health").textContent = health.status === "ok" ? "All is well" : words.join(" · ");
    if (!cameras.length) $("health").textContent = "No cameras yet: add one to nvr.toml";
  } catch (e) {
    $("health").textContent = `The recorder does not answer (${e.message})`;
  }
}

// One picture after the other: a slow line gets fewer, never a queue.
async function pictures() {
  for (const [id, li] of cards) {
    if (document.hidden || li.dataset.live !== "true") continue;
    try {
      const response = await fetch(`${api}/cameras/${id}/snapshot.jpg?width=480`);
      if (!response.ok) continue;
      const img = li.querySelector("img");
      const old = img.src;
      img.src = URL.createObjectURL(await response.blob());
      if (old.startsWith("blob:")) URL.revokeObjectURL(old);
    } catch { /* the next round */ }
  }
  setTimeout(pictures, 1000);
}

function view(id, name) {
  open = { id, name, playing: null };
  $("viewer").hidden = false;
  $("viewer-title").textContent = name;
  look(true);
  $("viewer").scrollIntoView({ behavior: "smooth" });
}

async function look(play) {
  const now = Date.now();
  open.to = now;
  open.from = now - Number($("span").value) * 1000;
  const resolution = (open.to - open.from) / 1000 / 1000;
  const t = await ask(`${api}/cameras/${open.id}/timeline?from=${iso(open.from)}&to=${iso(open.to)}&resolution=${resolution}`)
    .catch((e) => { $("playing").textContent = e.message; return null; });
  if (!t) return;
  open.ranges = t.ranges.map((r) => ({ start: Date.parse(r.start), end: Date.parse(r.end), growing: r.growing }));
  draw();
  $("gaps").replaceChildren(...t.gaps.slice(-10).map((g) => {
    const li = document.createElement("li");
    const length = (Date.parse(g.end) - Date.parse(g.start)) / 1000;
    li.textContent = `Missing ${seconds(length)} from ${shown(Date.parse(g.start))}: ${g.cause.message}`;
    return li;
  }));
  const last = open.ranges.at(-1);
  if (play && last) playAt(Math.max(last.start, last.end - 30_000));
  else if (play) $("playing").textContent = "Nothing is recorded in this time";
}

function draw() {
  const place = (ms) => `${Math.min(100, Math.max(0, ((ms - open.from) / (open.to - open.from)) * 100))}%`;
  const bars = open.ranges.map((r) => {
    const div = document.createElement("div");
    div.className = "have";
    div.style.left = place(r.start);
    div.style.width = `${((Math.min(r.end, open.to) - Math.max(r.start, open.from)) / (open.to - open.from)) * 100}%`;
    return div;
  });
  const mark = document.createElement("div");
  mark.className = "mark";
  mark.style.left = place(open.at ?? open.to);
  $("bar").replaceChildren(...bars, mark);
  $("bar").setAttribute("aria-valuenow", Math.round((((open.at ?? open.to) - open.from) / (open.to - open.from)) * 1000));
  $("bar").setAttribute("aria-valuetext", shown(open.at ?? open.to));
  $("bar-from").textContent = shown(open.from);
  $("bar-to").textContent = shown(open.to);
}

// Plays from a moment on: up to ten minutes of it as one file, so any browser does it.
function playAt(ms) {
  const r = open.ranges.find((r) => ms < r.end) ?? open.ranges.at(-1);
  if (!r) return;
  const start = Math.max(ms, r.start);
  const end = Math.min(start + 600_000, Date.now());
  open.clip = { from: start, to: end };
  open.at = start;
  $("video").src = `${api}/cameras/${open.id}/export.mp4?from=${iso(start)}&to=${iso(end)}`;
  $("video").play().catch(() => {});
  mark(start, Math.min(start + 60_000, end));
  draw();
}

function mark(from, to) {
  const local = (ms) => { const d = new Date(ms); return new Date(ms - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 19); };
  $("from").value = local(from);
  $("to").value = local(to);
  link();
}

function link() {
  const [from, to] = [$("from").value, $("to").value].map((v) => new Date(v).getTime());
  const good = open && from < to;
  $("save").toggleAttribute("aria-disabled", !good);
  $("save").href = good ? `${api}/cameras/${open.id}/export.mp4?format=mp4&download=true&from=${iso(from)}&to=${iso(to)}` : "#";
}

$("video").addEventListener("timeupdate", () => {
  if (!open?.clip) return;
  open.at = open.clip.from + $("video").currentTime * 1000;
  $("playing").textContent = shown(open.at);
  draw();
});
$("video").addEventListener("error", async () => {
  if (!open?.clip) return;
  const reason = await ask($("video").getAttribute("src"), { method: "HEAD" }).then(() => "this browser cannot play it", (e) => e.message);
  $("playing").textContent = `Cannot play this: ${reason}`;
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
$("span").addEventListener("change", () => look(false));
$("from").addEventListener("input", link);
$("to").addEventListener("input", link);

await refresh();
pictures();
setInterval(refresh, 2000);
setInterval(() => { if (open && !document.hidden) look(false); }, 10_000);
