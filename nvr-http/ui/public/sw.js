// Keeps the page itself (never footage, never answers of the API) for when the recorder is away.
const STORE = `nvr-${"BUILD"}`;
const SHELL = ["SHELL"];
const here = (path) => new URL(path, self.registration.scope).href;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(STORE).then((store) => store.addAll(SHELL.map(here))).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("nvr-") && name !== STORE;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || !url.href.startsWith(self.registration.scope)) return;
  const path = url.pathname.slice(new URL(self.registration.scope).pathname.length);
  if (/^(api\/|health$|ready$|metrics$)/.test(path)) return;
  if (request.mode === "navigate") {
    event.respondWith(fetch(request).catch(() => caches.match(here("offline.html"))));
    return;
  }
  // Names of assets change with their content, so what is kept is right for ever.
  if (path.startsWith("assets/")) {
    event.respondWith(
      caches.match(request).then((kept) => kept ?? fetch(request).then((answer) => {
        if (answer.ok) {
          const copy = answer.clone();
          caches.open(STORE).then((store) => store.put(request, copy));
        }
        return answer;
      })),
    );
    return;
  }
  if (SHELL.includes(path)) event.respondWith(fetch(request).catch(() => caches.match(request)));
});
