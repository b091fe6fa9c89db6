import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

/** Where the API is while `npm run dev` serves the pages. */
const server = process.env["VITREOUS_SERVER"] ?? "http://127.0.0.1:8127";

export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: "../src/vitreous/gui/static",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the content policy allows no data: scripts or fonts
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
  },
  server: { proxy: { "/api": { target: server, ws: true } } },
});
