import { SIZES, check, looks, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

const CAMERAS = [
  ["front", "Front door", "test:?size=640x360&fps=15&gop=15&pattern=smpte", []],
  ["yard", "Yard", "test:?size=640x360&fps=15&gop=15&audio=0&pattern=ball", []],
];
const ADMIN = { name: "ada", password: "correct horse battery" };
const VIEWER = { name: "vera", password: "staple staple staple" };

export async function before() {
  const server = await Server.start('auth = "accounts"', CAMERAS);
  const link = await until("the link of the first start", () => /https?:\/\/\S+\/setup#token=\S+/.exec(server.output)?.[0]);
  return { server, link: link.replace(/^https?:\/\/[^/]+/, server.address) };
}
export const after = ({ server }) => server.remove();

async function logIn(page, { name, password }) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
}
/** The page as it is now on a desk and on a phone, in dark and in light. */
async function everywhere(page, name, shots) {
  const findings = [];
  const before = page.viewportSize();
  for (const [device, width, height] of SIZES) {
    await page.setViewportSize({ width, height });
    findings.push(...(await looks(page, `${name}-${device}`, shots)));
  }
  await page.setViewportSize(before);
  check(!findings.length, findings.join("\n"));
}
const tiles = (page) => page.locator(".tile").evaluateAll((all) => all.map((t) => t.dataset.camera).join());

export const tests = [
  ["the first start: a link makes the first account, once", async ({ browser, server, link, shots }) => {
    const page = await open(browser, server.address, { viewport: { width: 360, height: 740 } });
    await page.goto(server.address);
    await page.getByText("No account exists yet").waitFor();
    await everywhere(page, "start", shots);
    await page.goto(link);
    await page.getByLabel("Name").fill(ADMIN.name);
    await page.getByLabel("Password", { exact: true }).fill(ADMIN.password);
    await page.getByLabel("Password again").fill("something else");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByText("The two passwords differ").waitFor();
    await everywhere(page, "setup", shots);
    await page.getByLabel("Password again").fill(ADMIN.password);
    await page.getByRole("button", { name: "Create account" }).click();
    await until("all cameras", async () => (await tiles(page)) === "front,yard");
    const other = await open(browser, server.address);
    await other.goto(link);
    await other.getByLabel("Name").fill("mallory");
    await other.getByLabel("Password", { exact: true }).fill("another password");
    await other.getByLabel("Password again").fill("another password");
    await other.getByRole("button", { name: "Create account" }).click();
    await other.locator(".field-error").waitFor();
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["a wrong password is refused, a session that ended asks again and goes on where one was", async ({ browser, server, shots }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/timeline`);
    await logIn(page, { ...ADMIN, password: "wrong password" });
    await page.getByText("Name or password is wrong").waitFor();
    await everywhere(page, "login", shots);
    await logIn(page, ADMIN);
    await page.locator(".scrubber").waitFor();
    await page.context().clearCookies();
    await page.getByText("Your session has ended").waitFor();
    await logIn(page, ADMIN);
    await page.locator(".scrubber").waitFor();
    check(page.url().endsWith("/timeline"), page.url());
    await page.locator(".side-account").click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    const { user } = await page.evaluate(async () => (await fetch("api/v1/session")).json());
    check(user === null, JSON.stringify(user));
  }],
  ["who may only look at one camera sees that one and no orders; a shared link works without an account", async ({ browser, server, shots }) => {
    const page = await open(browser, server.address);
    await page.goto(server.address);
    await logIn(page, ADMIN);
    await until("all cameras", async () => (await tiles(page)) === "front,yard");
    const made = await page.evaluate(async (viewer) => {
      const { user } = await (await fetch("api/v1/session")).json();
      const answer = await fetch("api/v1/users", {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf-token": user.csrf },
        body: JSON.stringify({ ...viewer, role: "viewer", cameras: ["yard"] }),
      });
      return `${answer.status} ${await answer.text()}`;
    }, VIEWER);
    check(made.startsWith("201"), made);
    // What the page asks of a password is what it says and what the recorder asks.
    await page.goto(`${server.address}/users`);
    await page.getByRole("button", { name: "Add account" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("kim");
    await page.getByRole("dialog").getByLabel("Password").fill("7 signs");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByText("At least 8 characters").waitFor();
    await page.getByRole("dialog").getByLabel("Password").fill("8 signs.");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.locator("td", { hasText: "kim" }).waitFor();
    const viewer = await open(browser, server.address);
    await viewer.goto(server.address);
    await logIn(viewer, VIEWER);
    await until("one camera", async () => (await tiles(viewer)) === "yard");
    check((await viewer.getByRole("link", { name: "Settings" }).count()) === 0 && (await viewer.getByRole("link", { name: "Users" }).count()) === 0, "pages of administrators are not shown");
    // Whoever has a login changes its password; a wrong one does not end the session.
    await viewer.locator(".side-account").click();
    await viewer.getByRole("menuitem", { name: "Your login" }).click();
    const change = async (old) => {
      await viewer.getByLabel("Present password").fill(old);
      await viewer.getByLabel("New password").fill("another one");
      await viewer.getByLabel("Password again").fill("another one");
      await viewer.getByRole("button", { name: "Change password" }).click();
    };
    await change("not this one");
    await viewer.getByText("This is not your present password").waitFor();
    await everywhere(viewer, "account", shots);
    await change(VIEWER.password);
    await viewer.getByText("The password is changed").waitFor();
    await viewer.goto(`${server.address}/timeline`);
    await viewer.getByRole("button", { name: "Mark a range" }).click();
    await viewer.getByText(/marked/).waitFor();
    check((await viewer.getByRole("button", { name: /^(Export|Protect|Share)$/ }).count()) === 0, "orders are not shown");

    await page.goto(`${server.address}/timeline?camera=front&at=${new Date(Date.now() - 8000).toISOString()}`);
    await page.locator(".scrubber").waitFor();
    await page.keyboard.press("i");
    await page.getByRole("button", { name: "Share" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Make a link" }).click();
    const link = await dialog.getByLabel("Link").inputValue();
    const guest = await open(browser, server.address);
    await guest.goto(new URL(new URL(link).pathname, server.address).href);
    await guest.getByRole("heading", { name: "Front door" }).waitFor();
    await until("it plays", () => guest.evaluate(() => document.querySelector("video").readyState >= 2));
    await everywhere(guest, "share", shots);
    check(!guest.mistakes.length, guest.mistakes.join("\n"));
  }],
];
