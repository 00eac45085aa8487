import { SIZES, check, looks, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start(`auth = "none"
[stills]
every = "5s"
width = 640
`);
  await until("three stills of a camera", async () => (await stills(server, "front")).length >= 3);
  return { server };
}
export const after = ({ server }) => server.remove();

const stills = async (server, camera) => (await server.get(`/cameras/${camera}/stills`)).stills;

export const tests = [
  ["the stills of a day are shown, and large by keys, buttons and a finger", async ({ browser, server, shots }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/stills`);
    const first = page.getByRole("button", { name: /^Front door, / }).first();
    await first.waitFor();
    await until("its picture is there", () => first.locator("img").evaluate((img) => img.complete && img.naturalWidth === 320));
    const findings = [];
    for (const [device, width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      findings.push(...(await looks(page, `stills-${device}`, shots)));
    }
    await first.click();
    const view = page.getByRole("dialog", { name: /Front door/ });
    const picture = view.getByRole("img");
    await until("it is there as it was kept", () => picture.evaluate((img) => img.complete && img.naturalWidth === 640));
    for (const [device, width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      findings.push(...(await looks(page, `stills-view-${device}`, shots)));
    }
    check(!findings.length, findings.join("\n"));
    const count = view.locator(".still-view-count");
    const isAt = (n) => until(`number ${n}`, async () => (await count.textContent()).startsWith(`${n} /`));
    await page.keyboard.press("ArrowRight");
    await isAt(2);
    await view.getByRole("button", { name: "The next one" }).click();
    await isAt(3);
    await page.keyboard.press("Home");
    await isAt(1);
    check(await view.getByRole("button", { name: "The one before" }).isDisabled(), "there is none before the first");
    const box = await view.locator(".still-view-picture").boundingBox();
    const drag = async (from, to) => {
      await page.mouse.move(box.x + box.width * from, box.y + box.height / 2);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * to, box.y + box.height / 2, { steps: 4 });
      await page.mouse.up();
    };
    await drag(0.8, 0.3);
    await isAt(2);
    await drag(0.3, 0.8);
    await isAt(1);
    const [download] = await Promise.all([page.waitForEvent("download"), view.getByRole("link", { name: "Download" }).click()]);
    check(/^front-.*\.jpg$/.test(download.suggestedFilename()), download.suggestedFilename());
    await page.keyboard.press("Escape");
    await view.waitFor({ state: "hidden" });
    check(await first.evaluate((e) => e === document.activeElement), "the focus is where it was");
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["a camera that is away has none, and a day without any leads to the newest", async ({ browser, server, shots }) => {
    const page = await open(browser, server.address, { viewport: { width: 360, height: 740 } });
    await page.goto(`${server.address}/stills?camera=gate`);
    await page.getByText("No stills of this day").waitFor();
    check((await stills(server, "gate")).length === 0, "a camera that is away has stills");
    await page.getByLabel("Camera").selectOption("front");
    await page.getByRole("button", { name: /^Front door, / }).first().waitFor();
    await page.getByRole("button", { name: "The day before" }).click();
    await page.getByText("No stills of this day").waitFor();
    const findings = await looks(page, "stills-none-phone", shots);
    check(!findings.length, findings.join("\n"));
    await page.getByRole("button", { name: "Go to the newest" }).click();
    await page.getByRole("button", { name: /^Front door, / }).first().waitFor();
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["a time-lapse of stills is ordered among the jobs, and played there", async ({ browser, server, shots }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/jobs`);
    await page.getByRole("button", { name: "New job" }).click();
    await page.getByRole("menuitem", { name: "Time-lapse" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Camera").selectOption("front");
    await dialog.getByLabel("Made of").selectOption("stills");
    const findings = [];
    for (const [device, width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      findings.push(...(await looks(page, `jobs-timelapse-${device}`, shots)));
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await dialog.getByRole("button", { name: "Make it" }).click();
    const row = page.getByRole("listitem").filter({ hasText: "Time-lapse" }).filter({ hasText: "Front door" });
    await row.getByRole("button", { name: "Play" }).click({ timeout: 60_000 });
    const video = page.getByRole("dialog").locator("video");
    await until("it plays", () => video.evaluate((v) => v.videoWidth === 640 && v.readyState >= 2));
    findings.push(...(await looks(page, "jobs-play-desk", shots)));
    check(!findings.length, findings.join("\n"));
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["several cameras are merged among the jobs", async ({ browser, server, shots }) => {
    const page = await open(browser, server.address, { viewport: { width: 360, height: 740 } });
    await server.footage("front", 5);
    await server.footage("yard", 5);
    await page.goto(`${server.address}/jobs`);
    await page.getByRole("button", { name: "New job" }).click();
    await page.getByRole("menuitem", { name: "Merge cameras" }).click();
    const dialog = page.getByRole("dialog");
    for (const name of ["Gate", "Workshop"]) await dialog.getByLabel(name, { exact: true }).uncheck();
    const findings = await looks(page, "jobs-merge-phone", shots);
    check(!findings.length, findings.join("\n"));
    await dialog.getByLabel("Front door", { exact: true }).uncheck();
    await dialog.getByRole("button", { name: "Merge" }).click();
    await dialog.getByText("Choose two to sixteen cameras.").waitFor();
    await dialog.getByLabel("Front door", { exact: true }).check();
    await dialog.getByRole("button", { name: "Merge" }).click();
    await dialog.waitFor({ state: "hidden" });
    const job = await until("the job", async () => (await server.get("/jobs?kind=merge")).jobs[0]);
    check(job.params.cameras.length === 2, JSON.stringify(job.params));
    await server.post(`/jobs/${job.id}/cancel`).catch(() => {});
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
];
