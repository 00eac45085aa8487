import { spawn } from "node:child_process";
import { check, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

const CAM = process.env.ONVIFCAM ?? new URL("../../../target/debug/onvifcam", import.meta.url).pathname;

/** A simulated camera; `lines` is what it was told. */
async function simulated(...args) {
  const process = spawn(CAM, ["--port", "0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const cam = { lines: [], end: () => process.kill("SIGKILL") };
  process.stdout.on("data", (data) => cam.lines.push(...String(data).trim().split("\n")));
  cam.address = await until("the camera", async () => cam.lines.find((l) => l.startsWith("http://")));
  return cam;
}

const keys = (cam) => [`onvif = "${cam.address}"`, 'onvif_user = "admin"', 'onvif_password = "s&cret"'];

export async function before() {
  // It does not stop by itself: what stops it is the page, or the recorder.
  const cam = await simulated("--stubborn");
  const fixed = await simulated("--no-ptz", "--ahead", "60");
  const server = await Server.start('auth = "none"', [
    ["front", "Front door", "test:?size=640x360&fps=10&gop=10", keys(cam)],
    ["yard", "Yard", "test:?size=640x360&fps=10&gop=10", keys(fixed)],
  ]);
  await server.footage("front", 2);
  return { server, cam, fixed };
}
export const after = async ({ server, cam, fixed }) => {
  await server.remove();
  cam.end();
  fixed.end();
};

const count = (cam, name) => cam.lines.filter((l) => l.startsWith(name)).length;
const tile = (page, id) => page.locator(`.tile[data-camera=${id}]`);
const pad = async (page, server) => {
  await page.goto(server.address);
  await tile(page, "front").getByRole("button", { name: "Front door", exact: true }).click();
  await tile(page, "front").getByRole("button", { name: "Turn the camera" }).click();
  return tile(page, "front").getByRole("group", { name: /Turn Front door/ });
};

export const tests = [
  ["a camera turns while a direction is held, by pointer and by key, and stops when it is let go", async ({ browser, server, cam, shots }) => {
    const page = await open(browser, server.address);
    const group = await pad(page, server);
    const left = group.getByRole("button", { name: "Left" });
    await left.hover();
    let stops = count(cam, "Stop");
    await page.mouse.down();
    // Held for longer than one order holds.
    const moves = count(cam, "ContinuousMove");
    await until("the order to move, again and again", async () => count(cam, "ContinuousMove") >= moves + 4);
    check(count(cam, "Stop") === stops, "it was stopped while it was held");
    check(cam.lines.some((l) => /^ContinuousMove Some\(\[-0\.6, 0\.0, 0\.0\]\)/.test(l)), cam.lines.join("\n"));
    if (shots) await page.screenshot({ path: `${shots}/ptz.png` });
    await page.mouse.up();
    await until("the order to stop", async () => count(cam, "Stop") > stops);
    stops = count(cam, "Stop");
    await group.focus();
    await page.keyboard.down("ArrowUp");
    await until("the move up", async () => cam.lines.some((l) => l.includes("[0.0, 0.6, 0.0]")));
    await page.keyboard.up("ArrowUp");
    await until("the order to stop", async () => count(cam, "Stop") > stops);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["a camera stops when its page is gone in the middle of a move", async ({ browser, server, cam }) => {
    const page = await open(browser, server.address);
    const group = await pad(page, server);
    const stops = count(cam, "Stop");
    const moves = count(cam, "ContinuousMove");
    await group.getByRole("button", { name: "Closer" }).hover();
    await page.mouse.down();
    await until("the order to move", async () => count(cam, "ContinuousMove") > moves);
    // As when the network is gone: no word of it reaches the recorder.
    await page.context().setOffline(true);
    await until("the recorder to stop it", async () => count(cam, "Stop") > stops);
  }],
  ["a place is remembered, visited and forgotten", async ({ browser, server, cam }) => {
    const page = await open(browser, server.address);
    const group = await pad(page, server);
    await group.getByRole("button", { name: "Remember this place" }).click();
    await group.getByLabel("Name of the place").fill("Gate & road");
    await page.keyboard.press("Enter");
    await group.getByLabel("Places").selectOption({ label: "Gate & road" });
    await until("the way there", async () => count(cam, "GotoPreset") === 1);
    await group.getByRole("button", { name: "Forget Gate & road" }).click();
    await until("it is forgotten", async () => count(cam, "RemovePreset") === 1 && (await group.getByRole("option").count()) === 1);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["it is not offered where the camera cannot be turned", async ({ browser, server, fixed }) => {
    const page = await open(browser, server.address);
    await page.goto(server.address);
    await tile(page, "yard").getByRole("button", { name: "Yard", exact: true }).click();
    await until("the camera was asked", async () => count(fixed, "GetServices") > 0);
    check((await tile(page, "yard").getByRole("button", { name: "Turn the camera" }).count()) === 0, "it is offered");
  }],
  ["a camera that was found is asked for its streams, and they are filled in", async ({ browser, server, fixed, shots }) => {
    const page = await open(browser, server.address);
    const found = { address: "127.0.0.1", name: "Cam", model: "X", location: null, source: "rtsp://127.0.0.1:554/", hint: "", services: [fixed.address] };
    await page.route("**/api/v1/discovery", (route) => route.fulfill({ json: { cameras: [found], devices: [], problems: [] } }));
    await page.goto(`${server.address}/settings`);
    await page.getByRole("button", { name: "Add camera" }).first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Look" }).click();
    await dialog.locator(".found-one").click();
    await dialog.getByRole("button", { name: "Ask for streams" }).click();
    await dialog.getByText(/refuses|NotAuthorized|not Authorized/i).waitFor();
    await dialog.getByLabel("User").fill("admin");
    await dialog.getByLabel("Password").fill("s&cret");
    await dialog.getByRole("button", { name: "Ask for streams" }).click();
    await dialog.getByText("main: H264 1920×1080").waitFor();
    check((await dialog.getByLabel("Address of the stream", { exact: true }).inputValue()) === "rtsp://127.0.0.1:8554/main", "the main stream is filled in");
    await dialog.getByText(/seconds off/).waitFor();
    if (shots) await page.screenshot({ path: `${shots}/add-onvif.png` });
  }],
];
