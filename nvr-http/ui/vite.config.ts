import { createHash } from "node:crypto";
import { copyFileSync, existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { type Plugin, defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");

/** Every file below a folder. */
function files(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });
}

/** Empties the output (cargo watches the folder, so it stays), and compresses what is worth it afterwards. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    buildStart() {
      if (!existsSync(dist)) return;
      for (const name of readdirSync(dist)) {
        if (name !== ".gitignore") rmSync(join(dist, name), { recursive: true });
      }
    },
    closeBundle() {
      // The page that shows the API; its script is that of the package, as it is.
      const swagger = join(here, "node_modules/swagger-ui-dist");
      for (const name of ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "LICENSE"]) {
        copyFileSync(join(swagger, name), join(dist, "api-docs", name));
      }
      const built = files(dist).filter((path) => !path.endsWith(".gitignore"));
      // The service worker keeps these for when the server is away; a new build has a new name for its store.
      const shell = built
        .map((path) => relative(dist, path).replaceAll("\\", "/"))
        .filter((path) => /^(assets\/(index|style).*\.(js|css)|icon\.svg|offline\.(html|css|js))$/.test(path));
      const worker = join(dist, "sw.js");
      const build = createHash("sha256").update(built.map((path) => readFileSync(path)).reduce((a, b) => Buffer.concat([a, b]))).digest("hex").slice(0, 12);
      writeFileSync(worker, readFileSync(worker, "utf8").replace('"BUILD"', JSON.stringify(build)).replace('["SHELL"]', JSON.stringify(shell)));
      for (const path of built) {
        if (!/\.(js|css|html|svg|json|webmanifest)$/.test(path)) continue;
        const bytes = readFileSync(path);
        if (bytes.length < 512) continue;
        writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
        writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
      }
    },
  };
}

/** The recorder that `npm run dev` talks to. */
const server = process.env["NVR_SERVER"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  // Addresses are relative to <base>, which the recorder sets to where a proxy put it.
  base: "./",
  plugins: [react(), packed()],
  resolve: { alias: { "~": join(here, "src") } },
  build: {
    outDir: dist,
    emptyOutDir: false,
    target: "es2021",
    // Nothing inline: the recorder's Content-Security-Policy has no data: for scripts and styles.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      "/api": { target: server, ws: true, changeOrigin: true, headers: { origin: server } },
      "/health": server,
    },
  },
});
