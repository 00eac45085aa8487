import { check, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

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

export const tests = [
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
