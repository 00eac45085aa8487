import { createServer } from "node:http";
import { once } from "node:events";
import { SIZES, check, looks, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

/** Somebody who is told: keeps what was sent, and says so or refuses. */
async function sink() {
  const sent = [];
  const place = { sent, status: 200 };
  const server = createServer((request, answer) => {
    let body = "";
    request.on("data", (part) => (body += part)).on("end", () => {
      if (place.status === 200) sent.push(body);
      answer.writeHead(place.status).end();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  place.address = `http://127.0.0.1:${server.address().port}/told`;
  place.end = () => server.close();
  return place;
}

export async function before() {
  const place = await sink();
  const server = await Server.start(`auth = "none"
[alerts]
group = "0s"
interval = "0s"
[[alert_rule]]
name = "camera_offline"
kind = "camera_offline"
after = "1s"
hold = "1s"
[[alert_channel]]
name = "office"
kind = "webhook"
address = "${place.address}"
`);
  return { server, place };
}
export async function after({ server, place }) {
  await server.remove();
  place.end();
}

export const tests = [
  ["what is wrong is on the page and told; known to somebody it counts no more", async ({ browser, server, place, shots }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/alerts`);
    const active = page.getByRole("table", { name: "Now" });
    const row = active.getByRole("row", { name: /Gate/ });
    await row.waitFor();
    await until("the webhook has it", () => place.sent.some((body) => body.includes("gate")));
    const findings = [];
    for (const [device, width, height] of SIZES) {
      await page.setViewportSize({ width, height });
      findings.push(...(await looks(page, `alerts-${device}`, shots)));
    }
    check(!findings.length, findings.join("\n"));
    const more = page.getByRole("button", { name: /^More/ });
    await more.getByLabel("1 alert").waitFor();
    await more.click();
    await page.getByRole("menuitem", { name: "Alerts (1)" }).waitFor();
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 1280, height: 800 });
    await row.getByRole("button", { name: "I know" }).click();
    await row.getByText(/Known/).waitFor();
    const { active: known } = await server.get("/alerts");
    check(known.find((a) => a.camera === "gate")?.acknowledged, JSON.stringify(known));
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["a channel is tried, and says why it does not work", async ({ browser, server, place }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/alerts`);
    const channel = page.getByRole("listitem").filter({ hasText: "office" });
    const before = place.sent.length;
    await channel.getByRole("button", { name: "Send a test" }).click();
    await until("it arrived", () => place.sent.length > before);
    await page.getByText("The message arrived by office").waitFor();
    place.status = 503;
    await channel.getByRole("button", { name: "Send a test" }).click();
    await page.getByText(/503/).first().waitFor();
    place.status = 200;
    check(!page.mistakes.filter((m) => !/503/.test(m)).length, page.mistakes.join("\n"));
  }],
  ["nothing is told for a time, until somebody says otherwise", async ({ browser, server, shots }) => {
    const page = await open(browser, server.address, { viewport: { width: 360, height: 740 } });
    await page.goto(`${server.address}/alerts`);
    await page.getByRole("button", { name: "Mute" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("For", { exact: true }).selectOption("4h");
    const findings = await looks(page, "alerts-mute-phone", shots);
    check(!findings.length, findings.join("\n"));
    await dialog.getByRole("button", { name: "Mute" }).click();
    await page.getByRole("status").filter({ hasText: "Muted until" }).waitFor();
    const { mutes } = await server.get("/alerts");
    const hours = (Date.parse(mutes[0].until) - Date.now()) / 36e5;
    check(mutes.length === 1 && hours > 3.9 && hours <= 4, JSON.stringify(mutes));
    await page.getByRole("button", { name: "Tell again" }).click();
    await until("it is told again", async () => (await server.get("/alerts")).mutes.length === 0);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
];
