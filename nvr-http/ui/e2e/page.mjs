import { existsSync, readFileSync } from "node:fs";
import { until } from "./server.mjs";

const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** What a recorder that lacks something answers, and what a page asks for to find out. */
const EXPECTED = /status of 40[0149]|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED|ERR_NETWORK|ERR_CONNECTION_RESET|WebSocket connection to/;

/** A desk and a phone. */
export const SIZES = [["desk", 1440, 900], ["phone", 360, 740]];

/** A page whose mistakes are kept: exceptions, console errors, requests to other hosts, breaches of its policy. */
export async function open(browser, address, options = {}) {
  const fresh = process.env.FRESH ? { serviceWorkers: "block" } : {};
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", acceptDownloads: true, ...fresh, ...options });
  if (process.env.FRESH) await context.route((url) => url.origin === address && !/^\/(api\/|health)/.test(url.pathname), fromDist);
  const page = await context.newPage();
  const mistakes = [];
  page.on("pageerror", (e) => mistakes.push(e.stack ?? e.message));
  page.on("console", (m) => m.type() === "error" && !EXPECTED.test(m.text()) && mistakes.push(m.text()));
  page.on("request", (r) => {
    const url = new URL(r.url());
    if (url.protocol.startsWith("http") && url.origin !== new URL(address).origin) mistakes.push(`a request to ${url.origin}`);
  });
  page.on("websocket", (ws) => new URL(ws.url()).host !== new URL(address).host && mistakes.push(`a connection to ${ws.url()}`));
  page.mistakes = mistakes;
  return page;
}

/** With FRESH=1: the page as it was built last, though the binary still has an older one. */
export function fromDist(route) {
  const dist = new URL("../dist/", import.meta.url);
  const file = new URL(`.${new URL(route.request().url()).pathname}`, dist);
  const asset = file.href !== dist.href && existsSync(file);
  return route.fulfill({ path: (asset ? file : new URL("index.html", dist)).pathname });
}

/** What accessibility checks find that is serious. */
export async function serious(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => `${n.target} (${n.failureSummary?.split("\n")[1]?.trim()})`).join("; ")}`);
}

/** The page in dark and in light: what is serious, and what stands out sideways; a picture of each in the folder. */
export async function looks(page, name, shots) {
  const findings = [];
  for (const colorScheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme });
    await until(`it is ${colorScheme}`, () => page.evaluate((scheme) => document.documentElement.dataset.theme === scheme && !document.getAnimations().some((a) => a instanceof CSSTransition), colorScheme));
    for (const finding of await serious(page)) findings.push(`${name}-${colorScheme}: ${finding}`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) findings.push(`${name}-${colorScheme}: ${wide} pixels too wide`);
    if (shots) await page.screenshot({ path: `${shots}/${name}-${colorScheme}.png` });
  }
  return findings;
}

/** Time that a test picture shows in the blocks at its bottom: Unix milliseconds, or null. */
export function pictureTime(page, selector, number = 0) {
  return page.evaluate(([selector, wantNumber]) => {
    const media = document.querySelector(selector);
    const [width, height] = [media?.videoWidth || media?.naturalWidth || 0, media?.videoHeight || media?.naturalHeight || 0];
    if (width < 256) return null;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.drawImage(media, 0, 0);
    // The picture may be scaled; its blocks are a 64th of the camera's width, or 16 pixels of 1280.
    for (const block of [width / 64, width / 80]) {
      const { data } = context.getImageData(0, Math.round(height - block / 2), width, 1);
      let number = 0n;
      for (let bit = 0; bit < 64; bit++) number = (number << 1n) | (data[Math.floor((bit + 0.5) * block) * 4 + 1] > 128 ? 1n : 0n);
      const time = Number(number & 0xffffffffffffn);
      if (Math.abs(time - Date.now()) < 864e5) return wantNumber ? Number(number >> 48n) : time;
    }
    return null;
  }, [selector, number]);
}

/** What the recorder says was in the picture at a moment: a machine that is busy draws and records late. */
export function recordedClock(page, camera, time) {
  return until(`the picture of ${camera} at ${time}`, async () => {
    const there = await page.evaluate(async ([camera, at]) => {
      const image = document.querySelector("#reference") ?? document.body.appendChild(Object.assign(new Image(), { id: "reference", hidden: true }));
      image.src = `api/v1/cameras/${camera}/snapshot.jpg?exact=true&at=${at}`;
      return image.decode().then(() => true, () => false);
    }, [camera, new Date(time).toISOString()]);
    return there && pictureTime(page, "#reference");
  }, 20_000);
}

/** Frame number in a test picture (16 bits). */
export const pictureNumber = (page, selector) => pictureTime(page, selector, 1);

/** Waits until the picture's own clock moves on, and returns what it shows then. */
export async function moving(page, selector, patience) {
  const first = await until(`${selector} shows a clock`, () => pictureTime(page, selector), patience);
  return until(`${selector} moves`, async () => {
    const now = await pictureTime(page, selector);
    return now !== null && now > first ? now : null;
  }, patience);
}

export function check(holds, words) {
  if (!holds) throw new Error(words);
}
