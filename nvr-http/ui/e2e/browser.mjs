import { chromium } from "playwright-core";

/** Debian's Chromium, quiet: no request of its own to anywhere. */
export function launch(options = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
      "--disable-dev-shm-usage", "--disable-features=LocalNetworkAccessChecks",
    ],
    ...options,
  });
}
