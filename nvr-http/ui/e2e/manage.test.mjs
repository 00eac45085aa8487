// Recordings, jobs, storage, system, settings, users, privacy: against a real recorder.
import { createReadStream, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, open, serious } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start();
  await server.footage("front", 25);
  return { server };
}
export const after = ({ server }) => server.remove();

async function go(browser, server, path, options) {
  const page = await open(browser, server.address, options);
  await page.goto(server.address + path);
  await page.locator("main h1").waitFor({ timeout: 15_000 });
  return page;
}

/** No mistake in the console, and nothing serious for those who use a screen reader. What is refused on purpose is none. */
async function clean(page, words) {
  const findings = [...(await serious(page)), ...page.mistakes.filter((m) => !/status of (422|502|503)/.test(m))];
  check(!findings.length, `${words}: ${findings.join("\n")}`);
}

const closed = (server, camera) => until(`a finished file of ${camera}`, async () => (await server.get(`/cameras/${camera}/segments?order=desc&limit=20`)).segments.find((s) => s.state === "closed" && !s.protected));

export const tests = [
  ["recordings: filtered, played in place, protected and released", async ({ browser, server }) => {
    const page = await go(browser, server, "/recordings?camera=front", { viewport: { width: 1440, height: 900 } });
    await page.locator(".seg-main").first().waitFor();
    check((await page.locator(".seg-title").allTextContents()).every((x) => x.includes("Front door")), "only of the camera that was asked for");
    const wanted = await closed(server, "front");
    await page.locator(".seg", { hasNotText: "recording" }).first().locator(".seg-main").click();
    const video = page.locator(".detail video");
    await until("it plays", () => video.evaluate((v) => v.currentTime > 0.3));
    await page.locator(".detail").getByRole("button", { name: "Protect", exact: true }).click();
    await page.locator(".seg .tag-good").first().waitFor();
    const now = await server.get("/cameras/front/segments?order=desc&limit=50");
    const kept = now.segments.filter((s) => s.protected);
    check(kept.length === 1, `${kept.length} protected`);
    check(!!wanted, "there was a finished file");
    await page.getByLabel("Kind").selectOption("protected");
    await until("only the protected one is shown", async () => (await page.locator(".seg").count()) === 1);
    check(page.url().includes("mark=protected"), "the filter is in the address");
    await clean(page, "recordings");
    await page.locator(".seg-main").click();
    await page.locator(".detail").getByRole("button", { name: "Do not protect any more" }).click();
    await until("it is released", async () => !(await server.get("/cameras/front/segments?limit=100")).segments.some((s) => s.protected));
  }],
  ["recordings: a file is downloaded whole", async ({ browser, server }) => {
    const page = await go(browser, server, "/recordings?camera=yard", { viewport: { width: 1440, height: 900 } });
    await closed(server, "yard");
    await page.reload();
    await page.locator(".seg", { hasNotText: "recording" }).first().locator(".seg-main").click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(".detail a", { hasText: "MP4" }).last().click()]);
    const path = await download.path();
    check(statSync(path).size > 5000, "it holds something");
    const head = await new Promise((done) => createReadStream(path, { end: 11 }).once("data", done));
    check(head.subarray(4, 8).toString() === "ftyp", "it is an MP4");
  }],
  ["recordings: deleting waits for the undo, and is sent when that time is over", async ({ browser, server }) => {
    await closed(server, "yard");
    const page = await go(browser, server, "/recordings?camera=yard", { viewport: { width: 1440, height: 900 } });
    const sent = [];
    page.on("request", (r) => r.method() === "DELETE" && sent.push(r.url()));
    const rows = page.locator(".seg", { hasNotText: "recording" });
    await rows.first().waitFor();
    const label = await rows.last().locator("input").getAttribute("aria-label");
    await rows.last().locator("input").check();
    await page.locator(".list-tools").getByRole("button", { name: "Delete" }).click();
    await until("it is gone from the list", async () => (await page.locator(`input[aria-label="${label}"]`).count()) === 0);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.locator(`input[aria-label="${label}"]`).waitFor();
    check(!sent.length, "nothing was sent");
    await page.locator(`input[aria-label="${label}"]`).check();
    await page.locator(".list-tools").getByRole("button", { name: "Delete" }).click();
    // Closing the notice is saying that it is meant.
    await page.locator(".toast").getByRole("button", { name: "Close" }).click();
    await until("the recorder deleted it", () => sent.length === 1);
    const id = Number(sent[0].split("/").at(-1));
    await until("it is gone", async () => !(await server.get("/cameras/yard/segments?limit=1000")).segments.some((s) => s.id === id));
  }],
  ["recordings: by keyboard, on a phone", async ({ browser, server }) => {
    const page = await go(browser, server, "/recordings", { viewport: { width: 360, height: 740 } });
    await page.locator(".seg-main").first().focus();
    const first = await page.evaluate(() => document.activeElement.textContent);
    await page.keyboard.press("ArrowDown");
    check(first !== (await page.evaluate(() => document.activeElement.textContent)), "the arrow goes to the next");
    await page.keyboard.press("Enter");
    await page.locator("dialog[open]").waitFor();
    await page.keyboard.press("Escape");
    await until("it closes", async () => (await page.locator("dialog[open]").count()) === 0);
    await page.getByText("Stretches", { exact: true }).click();
    await page.locator(".seg-flow").first().waitFor();
    await clean(page, "recordings on a phone");
  }],
  ["jobs: an export is ordered, watched, and its file is there; one that fails says why and is tried again", async ({ browser, server }) => {
    const page = await go(browser, server, "/jobs");
    await page.getByRole("button", { name: "New job" }).click();
    await page.getByRole("menuitem", { name: "Export" }).click();
    await page.locator("dialog").getByLabel("Camera").selectOption("front");
    await page.locator("dialog").getByRole("button", { name: "Export" }).click();
    await page.locator(".job", { hasText: "Export" }).getByRole("link", { name: "Download" }).waitFor({ timeout: 60_000 });
    await page.getByRole("button", { name: "New job" }).click();
    await page.getByRole("menuitem", { name: "Export" }).click();
    const dialog = page.locator("dialog");
    await dialog.getByLabel("Camera").selectOption("front");
    await dialog.getByLabel("From").fill("2020-01-02T00:00");
    await dialog.getByLabel("To").fill("2020-01-01T00:00");
    await dialog.getByRole("button", { name: "Export" }).click();
    await dialog.getByText("The end has to be after the begin.").first().waitFor();
    await dialog.getByLabel("To").fill("2020-01-03T00:00");
    await dialog.getByRole("button", { name: "Export" }).click();
    const failed = page.locator(".job", { hasText: "failed" });
    await failed.getByText("nothing is recorded").first().waitFor({ timeout: 60_000 });
    await failed.getByRole("button", { name: "Try again" }).click();
    await page.getByText("Failed", { exact: true }).click();
    await page.locator(".job").first().waitFor();
    await clean(page, "jobs");
  }],
  ["storage: figures are those of the recorder, also as a table; a cleanup is shown before it is done", async ({ browser, server }) => {
    const page = await go(browser, server, "/storage");
    const { cameras } = await server.get("/storage");
    await page.locator("table", { hasText: "Front door" }).first().waitFor();
    check(cameras.length >= 2, "there is footage of two cameras");
    const figure = page.locator(".figure");
    await figure.locator("svg rect").first().waitFor();
    await figure.getByRole("button", { name: "As a table" }).click();
    check((await figure.locator("tbody tr").count()) === 30, "a row for each day");
    await page.getByRole("button", { name: "Clean up" }).click();
    await page.locator("dialog").getByText("Nothing is to be deleted").waitFor();
    await page.keyboard.press("Escape");
    await clean(page, "storage");
  }],
  ["system: what is wrong, what each camera does, events, and the log", async ({ browser, server }) => {
    const page = await go(browser, server, "/system");
    await page.locator(".health-bad", { hasText: "Gate" }).waitFor();
    const row = page.locator("tr", { hasText: "Front door" });
    await until("frames are counted", async () => /2[0-9](\.\d)?/.test(await row.textContent()));
    await page.locator(".event", { hasText: "Yard" }).first().waitFor();
    await page.getByRole("button", { name: "Stop Yard" }).click();
    await page.getByRole("button", { name: "Start Yard" }).waitFor();
    await page.locator(".event", { hasText: "stopped" }).first().waitFor();
    await page.getByRole("button", { name: "Start Yard" }).click();
    await page.getByRole("button", { name: "Stop Yard" }).waitFor();
    await page.locator(".log-line").first().waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText(/paused/).first().waitFor();
    for (const figure of ["Processor", "Memory", "Load"]) await page.locator(".stat", { hasText: figure }).filter({ hasText: /\d/ }).waitFor();
    await clean(page, "system");
  }],
  ["settings: a field is checked, saved and in the file; one that is refused says so at the field", async ({ browser, server }) => {
    const page = await go(browser, server, "/settings?section=retention");
    const age = page.locator('[data-path="retention.max_age"]');
    await age.fill("two weeks");
    await page.getByText("Give an age such as").waitFor();
    check(await page.getByRole("button", { name: "Save", exact: true }).isDisabled(), "what cannot be right is not sent");
    await age.fill("14d");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.getByText("Saved and in force").waitFor();
    const file = () => readFileSync(join(server.folder, "nvr.toml"), "utf8");
    check(/\[retention\][^[]*max_age = "14d"/.test(file()), file());
    // In the right form, and longer than is allowed: only the recorder knows.
    await age.fill("9000w");
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.locator(".setting", { has: age }).locator(".field-error").waitFor();
    check((await age.inputValue()) === "9000w", "what was typed stays");
    await clean(page, "settings");
    await page.getByRole("button", { name: "Discard" }).click();
    await page.getByLabel("Search settings").fill("max age");
    await page.locator('[data-path="cameras.front.max_age"]').waitFor();
  }],
  ["settings: a camera is tried, added, and removed", async ({ browser, server }) => {
    const page = await go(browser, server, "/settings");
    await page.getByRole("button", { name: "Add camera" }).click();
    const dialog = page.locator("dialog");
    await dialog.getByLabel("Address of the stream").fill("rtsp://127.0.0.1:9/none");
    await dialog.getByRole("button", { name: "Try it" }).click();
    await dialog.locator(".probe-error").waitFor({ timeout: 60_000 });
    await dialog.getByLabel("Address of the stream").fill("test:?size=320x240&fps=10");
    await dialog.getByRole("button", { name: "Try it" }).click();
    await dialog.getByText("320×240").waitFor({ timeout: 60_000 });
    await dialog.locator(".probe-picture img").waitFor();
    await dialog.getByLabel("Name", { exact: true }).fill("Vordertür 2");
    await clean(page, "adding a camera");
    await dialog.getByRole("button", { name: "Add camera" }).click();
    await page.getByText("Vordertür 2 is added").waitFor();
    await until("it is one of the cameras", async () => (await server.get("/cameras")).some((c) => c.id === "vordertuer-2"));
    await page.getByRole("button", { name: "Remove" }).last().click();
    await page.getByRole("dialog", { name: "Remove Vordertür 2?" }).getByRole("button", { name: "Remove" }).click();
    await until("it is gone", async () => !(await server.get("/cameras")).some((c) => c.id === "vordertuer-2"));
  }],
  ["bookings: deleting one asks first", async ({ browser, server }) => {
    const hours = (n) => new Date(Date.now() + n * 3_600_000).toISOString();
    await server.post("/bookings", { title: "Delivery", cameras: ["yard"], start: hours(1), end: hours(2) });
    const booked = async () => (await server.get("/bookings")).bookings.some((b) => b.title === "Delivery");
    const page = await go(browser, server, "/bookings");
    await page.getByText("List", { exact: true }).click();
    await page.getByRole("button", { name: "Delivery" }).click();
    await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
    const question = page.getByRole("dialog", { name: "Delete “Delivery”?" });
    await question.getByRole("button", { name: "Cancel" }).click();
    check(await booked(), "it stays");
    await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
    await clean(page, "the question");
    await question.getByRole("button", { name: "Delete" }).click();
    await until("it is gone", async () => !(await booked()));
    await until("the page says so", async () => (await page.locator("dialog").count()) === 0);
  }],
  ["users: every tab shows its list, and that no login is asked for is said", async ({ browser, server }) => {
    const page = await go(browser, server, "/users");
    for (const tab of ["Accounts", "Tokens", "Shared links", "Audit log"]) {
      await page.getByRole("tab", { name: tab }).click();
      await page.locator("[role=tabpanel] .card").first().waitFor();
      await page.locator("[role=tabpanel] .spinner").waitFor({ state: "detached" });
      await clean(page, tab);
    }
    await page.getByRole("tab", { name: "Accounts" }).click();
    await page.getByText("No login is asked for").waitFor();
  }],
  ["privacy: says what is kept, and prints", async ({ browser, server }) => {
    const page = await go(browser, server, "/privacy");
    await page.locator("td", { hasText: "Workshop" }).waitFor();
    for (const heading of ["What is recorded", "How long it is kept", "Where it is", "Who may see it", "What else is kept"]) await page.getByRole("heading", { name: heading }).waitFor();
    await page.emulateMedia({ media: "print" });
    check(!(await page.locator(".side").isVisible()), "the navigation is not printed");
    check(await page.locator(".privacy").isVisible(), "the text is");
    await page.emulateMedia({ media: "screen" });
    await clean(page, "privacy");
  }],
  ["storage and privacy: what moved to a second disk, and copies elsewhere", async ({ browser, shots }) => {
    const folder = mkdtempSync(join(tmpdir(), "nvr-ui-places-"));
    const [second, copies] = ["second", "copies"].map((name) => join(folder, name));
    mkdirSync(copies);
    const more = `\n[tier]\nroot = "${second}"\nafter = "0s"\nmin_free = 0\n[retention]\nmax_age = "9d"\nmax_bytes = "3GB"\n[[upload]]\nname = "nas"\nurl = "${copies}"\nlocal_retention = "7d"\n`;
    const server = await Server.start(`auth = "none"${more}`, [["front", "Front door", "test:?size=320x240&fps=10&gop=10&audio=0", []], ["yard", "Yard", "test:?size=320x240&fps=10&gop=10&audio=0", []]]);
    try {
      await until("files have moved and were copied", async () => {
        const [{ tier }, [target]] = [await server.get("/storage"), await server.get("/uploads")];
        return tier.segments >= 2 && target.counts.some((c) => c.state === "done" && c.segments >= 2);
      }, 120_000);
      const page = await go(browser, server, "/storage", { viewport: { width: 1440, height: 900 } });
      await page.getByRole("heading", { name: "Second disk" }).waitFor();
      await page.getByText(`Older footage moves to ${second}`).waitFor();
      check((await page.getByText("On the second disk").count()) === 1, "a column says how much of each camera");
      if (shots) await page.screenshot({ path: `${shots}/storage-second.png`, fullPage: true });
      await clean(page, "storage");
      await page.goto(`${server.address}/privacy`);
      await page.getByText(new RegExp(`Footage older than 0 secs? moves to the folder ${second}`)).waitFor();
      await page.getByText("All cameras together: at most 3GB").waitFor();
      await page.getByText("deleted by itself after 9 days").first().waitFor();
      await page.getByText(/Here they are deleted 7 days after the copy/).waitFor();
      await page.getByText("Apart from that the recorder sends nothing").waitFor();
      check((await page.getByText("No copies are made").count()) === 0, "copies are made");
      if (shots) await page.screenshot({ path: `${shots}/privacy-second.png`, fullPage: true });
      await clean(page, "privacy");
    } finally {
      await server.remove();
      rmSync(folder, { recursive: true, force: true });
    }
  }],
];
