// How old pictures are when the live page shows them, and how soon the first is there, by each way: read from the clock
// that a simulated camera draws into its picture.
//   node e2e/latency.mjs [--rounds N] [--seconds N] [--json FILE] [WAY ...]
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { launch } from "./browser.mjs";
import { open } from "./page.mjs";
import { Server, until } from "./server.mjs";

const WAYS = [["whep", "WebRTC"], ["mse", "MSE"], ["hls", "LL-HLS"], ["preview", "JPEG"], ["mjpeg", "MJPEG"]];
const CAMERA = "test:?size=1280x720&fps=25&gop=50&pattern=ball";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "3" }, seconds: { type: "string", default: "5" }, json: { type: "string" } },
});

/** In the page: looks at what the tile shows, from the choice of a way on. */
function watch() {
  const canvas = document.createElement("canvas");
  canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const tile = document.querySelector(".tile");
  let run = null;
  const look = (media, width, height) => {
    if (!run || width < 256) return;
    const now = Date.now();
    // A 64th of the width, but no more than 16 pixels of the camera's 1280.
    const block = (16 * width) / 1280;
    canvas.width = Math.ceil(block * 64);
    context.drawImage(media, 0, height - block / 2, block * 64, 1, 0, 0, canvas.width, 1);
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    const bits = Array.from({ length: 64 }, (_, bit) => (data[Math.floor((bit + 0.5) * block) * 4 + 1] > 128 ? 1 : 0));
    const number = bits.slice(0, 16).reduce((sum, bit) => sum * 2 + bit, 0);
    const age = now - bits.slice(16).reduce((sum, bit) => sum * 2 + bit, 0);
    if (age < -1000 || age > 60_000 || run.number === number) return;
    run.number = number;
    run.first ??= performance.now() - run.began;
    run.ages.push(age);
  };
  const known = new WeakSet();
  const frame = (video) => {
    look(video, video.videoWidth, video.videoHeight);
    video.requestVideoFrameCallback(() => frame(video));
  };
  const each = () => {
    for (const video of tile.querySelectorAll("video")) {
      if (known.has(video)) continue;
      known.add(video);
      video.requestVideoFrameCallback(() => frame(video));
    }
    const image = tile.querySelector("img.tile-media:not([hidden])");
    if (image?.naturalWidth) look(image, image.naturalWidth, image.naturalHeight);
    requestAnimationFrame(each);
  };
  each();
  window.begin = () => {
    run = { began: performance.now(), first: null, number: null, ages: [] };
    window.run = run;
  };
}

const browser = await launch();
const server = await Server.start('auth = "none"', [["front", "Front door", CAMERA, []]]);
const results = {};
try {
  await server.footage("front", 4);
  const page = await open(browser, server.address);
  await page.goto(server.address);
  const tile = page.locator(".tile");
  const chosen = WAYS.filter(([key]) => !positionals.length || positionals.includes(key));
  const choose = async (name) => {
    await tile.hover();
    await tile.getByRole("button", { name: /More for/ }).click();
    const item = page.getByRole("menuitemcheckbox", { name, exact: true });
    await item.evaluate((e) => e.addEventListener("click", () => window.begin(), { capture: true, once: true }));
    await item.click();
  };
  await until("it plays", async () => (await tile.getAttribute("data-phase")) === "playing");
  await page.evaluate(watch);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [key, name] of chosen) {
      await choose(`Only ${name}`);
      await until(`${key} shows a picture`, () => page.evaluate(() => window.run?.first && window.run.ages.length > 1));
      await until(`${key} is in use`, async () => (await tile.getAttribute("data-path")) === key);
      // The first second is that of catching up.
      await page.waitForTimeout(1000);
      const skip = await page.evaluate(() => window.run.ages.length);
      await page.waitForTimeout(Number(values.seconds) * 1000);
      const { first, ages } = await page.evaluate(() => window.run);
      const told = (results[key] ??= { name, first: [], ages: [] });
      told.first.push(Math.round(first));
      told.ages.push(...ages.slice(skip));
      // Nothing of this way is left when the next begins.
      await choose("Only JPEG 1/s");
      await until("stills", async () => (await tile.getAttribute("data-path")) === "pictures");
    }
  }
} finally {
  await browser.close();
  await server.remove();
}

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
const table = Object.entries(results).map(([way, { name, first, ages }]) => {
  const [f, a] = [first, ages].map((all) => [...all].sort((x, y) => x - y));
  return { way, name, first_ms: at(f, 0.5), first_most_ms: f.at(-1), median_ms: at(a, 0.5), p95_ms: at(a, 0.95), frames: a.length, rounds: f.length };
});
console.log("| way | first frame | at most | capture to page, median | 95 % | pictures |\n|---|---|---|---|---|---|");
for (const r of table) console.log(`| ${r.name} | ${r.first_ms} ms | ${r.first_most_ms} ms | ${r.median_ms} ms | ${r.p95_ms} ms | ${r.frames} |`);
if (values.json) writeFileSync(values.json, `${JSON.stringify({ camera: CAMERA, seconds: Number(values.seconds), ways: table }, null, 1)}\n`);
