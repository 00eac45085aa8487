import { spawn } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { check, open } from "./page.mjs";
import { Server, freePort, until } from "./server.mjs";

export async function before() {
  const server = await Server.start('auth = "none"', [["front", "Front door", "test:?size=640x360&fps=10&gop=10", []]]);
  await server.footage("front", 3);
  return { server };
}
export const after = ({ server }) => server.remove();

const tile = (page) => page.locator(".tile[data-camera=front]");
const openMenu = async (page) => {
  await tile(page).hover();
  await tile(page).getByRole("button", { name: /More for/ }).click();
};

/** A recorder's pushes, kept by the test: what the page sends, and what it makes of the answers. */
async function pretend(page) {
  const state = { pushes: [], asked: [] };
  const masked = (url) => url.replace(/[^/]+$/, "***");
  await page.route(/\/api\/v1\/(pushes|cameras\/front\/pushes.*)$/, async (route) => {
    const request = route.request();
    if (request.method() === "GET") return route.fulfill({ json: { pushes: state.pushes } });
    state.asked.push([request.method(), request.postDataJSON()]);
    if (request.method() === "DELETE") {
      state.pushes = state.pushes.filter((p) => !request.url().endsWith(`/${p.id}`));
      return route.fulfill({ status: 204 });
    }
    const wish = request.postDataJSON();
    if (state.pushes.some((p) => p.url === masked(wish.url))) {
      return route.fulfill({ status: 409, contentType: "application/problem+json", json: { type: "conflict", title: "Conflict", status: 409, detail: "it is pushed there already" } });
    }
    const now = new Date().toISOString();
    const push = { id: 7, camera: "front", ...wish, url: masked(wish.url), state: "connecting", since: now, started_at: now, by: null, bytes: 0, frames_lost: 0, connections: 0, failures: 0, last_failure: null };
    state.pushes.push(push);
    return route.fulfill({ status: 201, json: push });
  });
  return state;
}

/** FFmpeg as a server of one stream, which it copies into a file. */
async function listener(server, scheme) {
  const port = await freePort();
  const file = join(server.folder, `pushed-${scheme}.mkv`);
  const [input, address] = scheme === "rtmp"
    ? [["-listen", "1", "-f", "flv", "-i", `rtmp://127.0.0.1:${port}/live/abc-KEY`], `rtmp://127.0.0.1:${port}/live/abc-KEY`]
    : [["-f", "mpegts", "-i", `srt://127.0.0.1:${port}?mode=listener`], `srt://127.0.0.1:${port}`];
  const program = spawn("ffmpeg", ["-v", "fatal", "-y", "-nostdin", ...input, "-c", "copy", "-flush_packets", "1", file], { stdio: ["ignore", "inherit", "inherit"] });
  const over = new Promise((done) => program.once("exit", done));
  return { address, file, end: async () => { program.kill("SIGKILL"); await over; } };
}

const size = (file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

/** Kinds of the tracks of a file. */
function tracks(file) {
  return new Promise((done, wrong) => {
    const probe = spawn("ffprobe", ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", file]);
    let out = "";
    probe.stdout.on("data", (data) => (out += data));
    probe.once("error", wrong);
    probe.once("exit", () => done(out.split("\n").filter(Boolean).sort()));
  });
}

export const tests = [
  ...["rtmp", "srt"].map((scheme) => [`a camera really arrives at a server of ${scheme.toUpperCase()}, and stops`, async ({ browser, server, shots }) => {
    const far = await listener(server, scheme);
    try {
      const page = await open(browser, server.address, { viewport: { width: 1280, height: 800 } });
      await page.goto(server.address);
      await tile(page).waitFor();
      await openMenu(page);
      await page.getByRole("menuitem", { name: "Push to an address" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("Address").fill(far.address);
      await dialog.getByRole("button", { name: "Start" }).click();
      await dialog.getByText("Live", { exact: true }).waitFor();
      check(!(await dialog.textContent()).includes("abc-KEY"), "the key is not shown");
      await until("pictures arrive", () => size(far.file) > 60_000);
      await dialog.getByText(/\d kB|\d MB/).first().waitFor();
      if (shots) await page.screenshot({ path: `${shots}/push-${scheme}.png` });
      check((await tracks(far.file)).join() === "aac,h264", `picture and sound: ${await tracks(far.file)}`);
      await dialog.getByRole("button", { name: "Stop" }).click();
      await until("it is stopped", async () => !(await server.get("/pushes")).pushes.length);
      await dialog.getByRole("button", { name: "Close" }).last().click();
      await until("the tile shows none", async () => (await tile(page).getByRole("button", { name: /Pushed to/ }).count()) === 0);
      check(!page.mistakes.length, page.mistakes.join("\n"));
    } finally {
      await far.end();
    }
  }]),
  ["a camera is pushed to an address, its state is seen, and it is stopped", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    const state = await pretend(page);
    await page.goto(server.address);
    await tile(page).waitFor();
    await openMenu(page);
    await page.getByRole("menuitem", { name: "Push to an address" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Address").fill("http://example.org/");
    await dialog.getByRole("button", { name: "Start" }).click();
    await dialog.getByText("An address such as").waitFor();
    check(!state.asked.length, "a wrong address is not sent");
    await dialog.getByLabel("Address").fill(" rtmp://127.0.0.1/app/secret ");
    await dialog.getByLabel("With sound").uncheck();
    await dialog.getByRole("button", { name: "Start" }).click();
    await dialog.getByText("rtmp://127.0.0.1/app/***").waitFor();
    check(JSON.stringify(state.asked[0]) === JSON.stringify(["POST", { url: "rtmp://127.0.0.1/app/secret", stream: "main", audio: false, keep: false }]), JSON.stringify(state.asked));
    await dialog.getByText("Connecting").waitFor();
    Object.assign(state.pushes[0], { state: "live", bytes: 123_456 });
    await dialog.getByText("Live", { exact: true }).waitFor();
    await dialog.getByText("123 kB").waitFor();
    await dialog.getByLabel("Address").fill("rtmp://127.0.0.1/app/another");
    await dialog.getByRole("button", { name: "Start" }).click();
    await dialog.getByText("it is pushed there already").waitFor();
    Object.assign(state.pushes[0], { state: "retrying", last_failure: { at: new Date().toISOString(), message: "the server refused the key" } });
    await dialog.getByText("the server refused the key").waitFor();
    await dialog.getByRole("button", { name: "Close" }).last().click();
    await tile(page).getByRole("button", { name: /Pushed to 1 address/ }).click();
    await dialog.getByRole("button", { name: "Stop" }).click();
    await until("it is gone", async () => !state.pushes.length && (await dialog.locator(".push").count()) === 0);
    await dialog.getByRole("button", { name: "Close" }).last().click();
    check((await tile(page).getByRole("button", { name: /Pushed to/ }).count()) === 0, "the tile shows none");
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["it is not offered where the recorder does not do it, or not for one's role", async ({ browser, server }) => {
    for (const status of [501, 403]) {
      const page = await open(browser, server.address);
      await page.route("**/api/v1/pushes", (route) => route.fulfill({ status, contentType: "application/problem+json", json: { type: "unsupported", title: "-", status, detail: "-" } }));
      await page.goto(server.address);
      await tile(page).waitFor();
      await openMenu(page);
      await page.getByRole("menuitem", { name: "Look back" }).waitFor();
      check((await page.getByRole("menuitem", { name: "Push to" }).count()) === 0, `${status}: it is offered`);
    }
    let asked = false;
    const page = await open(browser, server.address);
    await page.route("**/api/v1/session", (route) => route.fulfill({ json: { auth: "accounts", setup: false, demo: false, user: { name: "vera", role: "viewer", cameras: null, csrf: "x" } } }));
    await page.route("**/api/v1/pushes", (route) => { asked = true; return route.fulfill({ json: { pushes: [] } }); });
    await page.goto(server.address);
    await tile(page).waitFor();
    await openMenu(page);
    await page.getByRole("menuitem", { name: "Look back" }).waitFor();
    check(!asked && (await page.getByRole("menuitem", { name: "Push to" }).count()) === 0, "a viewer is not offered it");
  }],
];
