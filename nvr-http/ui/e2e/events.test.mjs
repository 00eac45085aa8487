import { SIZES, check, looks, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start();
  await server.footage("front", 12);
  const ago = (s) => new Date(Date.now() - s * 1000).toISOString();
  const told = await server.post("/cameras/front/detections", { label: "doorbell", zone: "porch", score: 0.8, from: ago(6), to: ago(4), best_at: ago(5) });
  await server.post("/cameras/yard/detections", { label: "cat", from: ago(3), to: ago(2) });
  return { server, told };
}
export const after = ({ server }) => server.remove();

const rows = (page) => page.locator(".happening");

export const tests = [
  ["what was seen has a picture, is found by its words, and opens the timeline there", async ({ browser, server, told }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/events?what=detections`);
    await until("both are there", async () => (await rows(page).count()) === 2);
    const row = page.getByRole("link", { name: /doorbell \(porch\)/ });
    await until("its picture", () => row.locator("img").evaluate((img) => img.complete && img.naturalWidth > 0));
    await page.getByRole("searchbox", { name: "Find words" }).fill("DOORB");
    await until("only that is left", async () => (await rows(page).count()) === 1 && /text=DOORB/.test(page.url()));
    await page.getByRole("searchbox", { name: "Find words" }).fill("no such thing");
    await page.getByText("Nothing was found").waitFor();
    await page.getByRole("button", { name: "Show everything" }).click();
    // The camera that nobody answers at.
    await page.locator(".happening", { hasText: "Gate" }).first().waitFor();
    await row.click();
    await page.waitForURL(/\/timeline\?/);
    const at = new URL(page.url()).searchParams.get("at");
    check(at === told.from, `${at}, not ${told.from}`);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["what is seen now appears by itself, and its end too", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/events?what=external&camera=front`);
    await page.getByRole("link", { name: /doorbell/ }).waitFor();
    const { id } = await server.post("/cameras/front/detections", { label: "parcel" });
    const row = page.getByRole("link", { name: /parcel/ });
    await row.getByText("goes on").first().waitFor();
    await server.post(`/cameras/front/detections/${id}/end`, {});
    await until("it is over", async () => (await row.getByText("goes on").count()) === 0);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["it is a mark of the timeline, reached by keys", async ({ browser, server, told }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/timeline?camera=front`);
    const marks = page.locator(".seen-mark");
    const top = async () => (await page.locator(".scrubber").boundingBox()).y;
    await page.locator(".scrubber").waitFor();
    const before = await top();
    await marks.first().waitFor();
    check((await top()) === before, "nothing jumps when the marks appear");
    await marks.first().focus();
    await page.locator(".seen-lane .bubble").waitFor();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Enter");
    const first = Date.parse(told.from);
    await until("it goes there", async () => Math.abs(Number(await page.locator(".scrubber").getAttribute("data-time")) - first) < 8000);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["it looks well on desk and phone, dark and light", async ({ browser, server, shots }) => {
    const findings = [];
    for (const [device, width, height] of SIZES) {
      const page = await open(browser, server.address, { viewport: { width, height } });
      await page.goto(`${server.address}/events`);
      await rows(page).first().waitFor();
      findings.push(...(await looks(page, `events-list-${device}`, shots)));
      await page.goto(`${server.address}/timeline?camera=front`);
      await page.locator(".seen-mark").first().waitFor();
      findings.push(...(await looks(page, `events-timeline-${device}`, shots)));
      await page.context().close();
    }
    check(!findings.length, findings.join("\n"));
  }],
];
