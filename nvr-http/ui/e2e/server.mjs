import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BINARY = process.env.NVR ?? new URL("../../../target/debug/nvr", import.meta.url).pathname;

const CAMERAS = [
  ["front", "Front door", "test:?size=1280x720&fps=25&gop=25&pattern=smpte", []],
  ["yard", "Yard", "test:?size=640x360&fps=15&gop=30&audio=0&pattern=ball", []],
  ["gate", "Gate", "rtsp://127.0.0.1:9/stream", []],
  ["hand", "Workshop", "test:?size=640x360&fps=10&gop=10&audio=0&pattern=ball", ['record = "manual"']],
];

export function freePort() {
  return new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

/** A recorder with simulated cameras, in a folder of its own. */
export class Server {
  static #running = new Set();

  /** `more` is given the folder, and gives further sections of the configuration. */
  static async start(http = 'auth = "none"', cameras = CAMERAS, more = () => "") {
    const server = new Server();
    Server.#running.add(server);
    server.folder = mkdtempSync(join(tmpdir(), "nvr-ui-"));
    server.port = await freePort();
    server.address = `http://127.0.0.1:${server.port}`;
    const tables = cameras.map(([id, name, source, more]) => `[[cameras]]\nid = "${id}"\nname = "${name}"\nsource = "${source}"\n${more.join("\n")}\n`);
    writeFileSync(join(server.folder, "nvr.toml"), `[recorder]\nroot = "recordings"\n[recording]\nsegment = "10s"\n[http]\nlisten = "127.0.0.1:${server.port}"\nwebrtc_port = 0\n${http}\n${more(server.folder)}\n${tables.join("\n")}`);
    await server.run();
    return server;
  }

  async run() {
    this.output = "";
    this.process = spawn(BINARY, ["-c", join(this.folder, "nvr.toml"), "run"], { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (data) => (this.output += data));
    const ended = new Promise((_, reject) => this.process.once("exit", (code) => reject(new Error(`the recorder ended (${code}):\n${this.output}`))));
    ended.catch(() => {});
    await Promise.race([ended, until(`${this.address} answers`, () => fetch(`${this.address}/health`).then((r) => r.ok, () => false))]);
  }

  async end() {
    if (this.process.exitCode !== null) return;
    const over = new Promise((done) => this.process.once("exit", done));
    this.process.kill("SIGTERM");
    const force = setTimeout(() => this.process.kill("SIGKILL"), 15_000);
    await over;
    clearTimeout(force);
  }

  /** Ends those that nobody removed. */
  static async removeAll() {
    for (const server of Server.#running) await server.remove();
  }

  async remove() {
    Server.#running.delete(this);
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async get(path) {
    const response = await fetch(`${this.address}/api/v1${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  async post(path, body) {
    const response = await fetch(`${this.address}/api/v1${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** Waits until a camera has so many seconds of footage. */
  async footage(camera, seconds) {
    const now = () => Math.floor(Date.now() / 1000);
    await until(`${seconds} s of ${camera}`, async () => {
      const t = await this.get(`/cameras/${camera}/timeline?from=${now() - 3600}&to=${now() + 1}`);
      return t.totals.recorded_seconds >= seconds;
    });
  }
}

/** Waits until something holds; then its value. */
export async function until(what, check, patience = 60_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${patience / 1000} s`);
    await new Promise((done) => setTimeout(done, 150));
  }
}
