import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** Where the API is while `npm run dev` serves the pages. */
const server = process.env["VITREOUS_SERVER"] ?? "http://127.0.0.1:8127";
/** Where the pages are written: beside the package, or where `VITREOUS_PAGES` says. */
const pages = process.env["VITREOUS_PAGES"] ?? "../src/vitreous/gui/static";

export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: pages,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the content policy allows no data: scripts or fonts
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
  },
  server: { proxy: { "/api": { target: server, ws: true } } },
});
