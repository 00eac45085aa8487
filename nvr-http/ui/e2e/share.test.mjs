import { execFileSync } from "node:child_process";
import { check, moving, open, recordedClock } from "./page.mjs";
import { Server, until } from "./server.mjs";

// Encoding again gets what others leave of the processors.
const BACKGROUND = 300_000;

export async function before() {
  const more = '\n[jobs]\nmax_load_percent = 0\n[transcode]\nmin_ssim = 0.0\nsmaller_by = 0\npreset = "ultrafast"\nquality = 45\nthreads = 0\n';
  const server = await Server.start(`auth = "none"${more}`, [["front", "Front door", "test:?size=640x360&fps=10&gop=10", []]]);
  await server.footage("front", 25);
  const files = async () => (await server.get("/cameras/front/segments?order=asc")).segments;
  // A file in the middle becomes H.265. The first one ends at a boundary of the clock and may be short: seven seconds
  // have to lie before.
  const n = (await files())[0].duration_seconds >= 7 ? 1 : 2;
  await server.footage("front", 10 * n + 15);
  const middle = (await files())[n];
  const start = Date.parse(middle.start);
  const end = start + middle.duration_seconds * 1000;
  await server.post("/transcoding", { camera: "front", from: new Date(start - 1).toISOString(), to: new Date(end + 1).toISOString() });
  await until("it is H.265", async () => (await server.get(`/cameras/front/segments?order=asc`)).segments.some((s) => s.tracks.video.codec === "h265"), BACKGROUND);
  return { server, start, end };
}
export const after = ({ server }) => server.remove();

const share = async (server, from, to) => {
  const { url } = await server.post("/shares", { camera: "front", from: new Date(from).toISOString(), to: new Date(to).toISOString(), expires: 600 });
  return new URL(new URL(url).pathname, server.address).href;
};
const way = (page) => page.locator(".shared-video").getAttribute("data-way");

/** What a downloaded file holds. */
const probe = (path) => {
  const text = execFileSync("ffprobe", ["-v", "error", "-count_packets", "-show_entries", "stream=codec_name,nb_read_packets", "-of", "json", path], { encoding: "utf8" });
  return Object.fromEntries(JSON.parse(text).streams.map((s) => [s.codec_name, Number(s.nb_read_packets)]));
};

export const tests = [
  ["shared H.265 plays in a browser that has no H.265, and is saved either way", async ({ browser, server, start, end }) => {
    const link = await share(server, start + 500, end - 500);
    const page = await open(browser, server.address);
    check(!(await page.evaluate(() => MediaSource.isTypeSupported('video/mp4; codecs="hvc1.1.6.L93.B0"'))), "this browser has H.265: the test tests nothing");
    await page.goto(link);
    await until("the recorder encodes it", async () => (await way(page)) === "encoded");
    await page.locator(".shared-video").evaluate((v) => v.play());
    const shown = await moving(page, ".shared-video");
    const at = await page.locator(".shared-video").evaluate((v) => v.currentTime);
    check(Math.abs(shown - (await recordedClock(page, "front", start + at * 1000))) < 2000, `${shown} at ${at} s`);
    // Anywhere in it.
    await page.locator(".shared-video").evaluate((v) => { v.currentTime = v.duration - 2; });
    await until("near its end", async () => (await page.locator(".shared-video").evaluate((v) => v.readyState >= 3 && v.duration - v.currentTime < 2.1)));
    check((await page.locator(".shared-video").evaluate((v) => v.duration)) > 8, "it is all there");
    for (const [name, codec] of [["As H.264", "h264"], ["As recorded", "hevc"]]) {
      const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name }).click()]);
      const found = probe(await download.path());
      check(found[codec] >= 80, `${name}: ${JSON.stringify(found)}`);
    }
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["so does footage that is H.265 in part", async ({ browser, server, start }) => {
    const link = await share(server, start - 4000, start + 4000);
    const page = await open(browser, server.address);
    await page.goto(link);
    await until("the recorder encodes it", async () => (await way(page)) === "encoded");
    await page.locator(".shared-video").evaluate((v) => { v.playbackRate = 2; return v.play(); });
    await until("over the seam", () => page.locator(".shared-video").evaluate((v) => v.currentTime > 5));
    await moving(page, ".shared-video");
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "As H.264" }).click()]);
    check(probe(await download.path()).h264 >= 70, "it is one file");
    check((await page.getByRole("link", { name: "As recorded" }).count()) === 0, "two codecs are not one file");
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["what the browser can play goes as it was recorded", async ({ browser, server, start }) => {
    const link = await share(server, start - 6000, start - 1000);
    const page = await open(browser, server.address);
    await page.goto(link);
    await page.locator(".shared-video").evaluate((v) => v.play());
    await moving(page, ".shared-video");
    check((await way(page)) === "file", "it was encoded");
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
    check(probe(await download.path()).h264 >= 45, "it is there");
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["nothing beside the share is encoded for a stranger", async ({ server, start, end }) => {
    const link = await share(server, start + 500, start + 2500);
    const base = `${server.address}/api/v1/shares/${link.split("/").at(-1)}`;
    const playlist = await (await fetch(`${base}/media.m3u8?codec=h264`)).text();
    const piece = playlist.split("\n").find((l) => l.includes("part=") && !l.startsWith("#"));
    check((await fetch(`${base}/${piece}`)).status === 200, piece);
    const other = piece.replace(/part=\d+-\d+/, `part=${Math.floor((end - start) / 1000) - 1}-${Math.floor((end - start) / 1000)}`);
    check((await fetch(`${base}/${other}`)).status === 404, other);
    check((await fetch(`${base}/${piece.replace(/&part=[0-9-]+/, "")}`)).status === 400, "a part has to be named");
    check((await fetch(`${base}/export.mp4?codec=h264&from=${new Date(start).toISOString()}`)).status === 403, "before the share");
  }],
];
