// How long after a click on the timeline its moment plays: measured in the page, by the picture's own clock.
//   node e2e/seek.mjs ADDRESS [CAMERA [CLICKS]]     against a recorder with simulated cameras that runs already
import { pathToFileURL } from "node:url";
import { launch } from "./browser.mjs";
import { open } from "./page.mjs";
import { until } from "./server.mjs";

/** Begins to measure: from each click on the scrubber to the first picture of that moment, and to the one after it. */
function watch() {
  const video = document.querySelector(".pane video");
  const canvas = document.createElement("canvas");
  canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const clock = () => {
    const [width, height] = [video.videoWidth, video.videoHeight];
    if (width < 256) return null;
    const block = width === 1280 ? 16 : width / 64;
    canvas.width = block * 64;
    context.drawImage(video, 0, Math.round(height - block / 2), canvas.width, 1, 0, 0, canvas.width, 1);
    const { data } = context.getImageData(0, 0, canvas.width, 1);
    let time = 0;
    for (let bit = 16; bit < 64; bit++) time = time * 2 + (data[Math.floor((bit + 0.5) * block) * 4 + 1] > 128 ? 1 : 0);
    return time;
  };
  window.clicked = null;
  document.querySelector(".scrubber-canvas").addEventListener("pointerup", (e) => {
    const slider = document.querySelector(".scrubber");
    const [from, to] = ["min", "max"].map((end) => Number(slider.getAttribute(`aria-value${end}`)) * 1000);
    const box = slider.getBoundingClientRect();
    window.clicked = { at: performance.now(), moment: from + ((e.clientX - box.left) / box.width) * (to - from), picture: null, moves: null, shown: null };
  }, true);
  const each = () => {
    const { clicked } = window;
    if (clicked && !clicked.moves) {
      const time = clock();
      const near = time !== null && Math.abs(time - clicked.moment) < 1900;
      if (near && !clicked.picture) Object.assign(clicked, { picture: performance.now() - clicked.at, shown: time });
      else if (near && time !== clicked.shown) clicked.moves = performance.now() - clicked.at;
    }
    video.requestVideoFrameCallback(each);
  };
  video.requestVideoFrameCallback(each);
}

/** Clicks at random moments while it plays; milliseconds to the picture, and until it moves. Each is far from the last. */
export async function seekTimes(page, ranges, clicks) {
  await page.evaluate(watch);
  if (!(await page.getByRole("button", { name: "Pause" }).count())) await page.keyboard.press(" ");
  const told = [];
  let last = 0;
  while (told.length < clicks) {
    const box = await page.locator(".scrubber").boundingBox();
    const [from, to] = await page.locator(".scrubber").evaluate((e) => ["min", "max"].map((end) => Number(e.getAttribute(`aria-value${end}`)) * 1000));
    const spot = Math.round(box.x + (0.02 + 0.96 * Math.random()) * box.width) + 0.5;
    const moment = from + ((spot - box.x) / box.width) * (to - from);
    const inside = ranges.some((r) => moment > r.start + 1000 && moment < r.end - 3000);
    if (!inside || Math.abs(moment - last) < 5000) continue;
    last = moment;
    await page.mouse.click(spot, box.y + 44);
    const clicked = await until(`${new Date(moment).toISOString()} plays`, () => page.evaluate(() => window.clicked?.moves && window.clicked));
    told.push({ picture: Math.round(clicked.picture), moves: Math.round(clicked.moves) });
    await page.waitForTimeout(250);
  }
  return told;
}

export function inWords(told) {
  const of = (key) => {
    const sorted = told.map((x) => x[key]).sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
    return `p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, most ${at(1)} ms`;
  };
  return `${told.length} clicks: picture ${of("picture")}; plays ${of("moves")}`;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [address, camera = "front", clicks = "40"] = process.argv.slice(2);
  const browser = await launch();
  const page = await open(browser, address);
  const now = Math.floor(Date.now() / 1000);
  const { ranges } = await (await fetch(`${address}/api/v1/cameras/${camera}/timeline?from=${now - 86_400}&to=${now}`)).json();
  const known = ranges.map((r) => ({ start: Date.parse(r.start), end: Date.parse(r.end) }));
  const newest = known.at(-1);
  await page.goto(`${address}/timeline?camera=${camera}&at=${new Date(Math.max(newest.start, newest.end - 1_500_000)).toISOString()}`);
  await until("a picture", () => page.evaluate(() => document.querySelector(".pane video")?.readyState >= 2));
  console.log(inWords(await seekTimes(page, known, Number(clicks))));
  await browser.close();
}
