import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const OUT = "../llmgate/daemon/static";

const ALL = ["src/**/*.test.{ts,tsx}"];
/** Tests that need a document, or the storage of a browser. All others are quicker without. */
const WITH_PAGE = [
  "src/**/*.test.tsx",
  "src/account/pure.test.ts",
  "src/api/*.test.ts",
  "src/chat/{small,streams}.test.ts",
  "src/conversations/download.test.ts",
  "src/options/*.test.ts",
];

/** The daemon sends what is compressed here, and compresses nothing itself. */
function precompress(): Plugin {
  return {
    name: "precompress",
    apply: "build",
    async closeBundle() {
      const files = await readdir(OUT, { recursive: true, withFileTypes: true });
      const texts = files.filter((file) => file.isFile() && /\.(js|css|html|svg|txt|md)$/.test(file.name));
      await Promise.all(texts.map((file) => pack(join(file.parentPath, file.name))));
    },
  };
}

async function pack(path: string): Promise<void> {
  const plain = await readFile(path);
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(plain, { params }));
  await writeFile(`${path}.gz`, await promisify(gzip)(plain, { level: constants.Z_BEST_COMPRESSION }));
}

/** KaTeX offers its fonts in older formats as well, which no browser asks for that this page runs in. */
function newFontsOnly(): Plugin {
  return {
    name: "new-fonts-only",
    enforce: "pre",
    transform: {
      filter: { id: /katex(\.min)?\.css$/ },
      handler: (css) => css.replace(/,\s*url\([^)]*\.(?:woff|ttf)\)\s*format\("(?:woff|truetype)"\)/g, ""),
    },
  };
}

// Every URL in the page is relative, so that it works under whatever path a proxy gives it.
export default defineConfig({
  base: "./",
  plugins: [react(), newFontsOnly(), precompress()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    // The daemon's policy allows no data: URL but for pictures, and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    license: { fileName: "licenses.md" },
  },
  test: {
    restoreMocks: true,
    pool: "threads",
    // Nothing is measured by it: a machine that has much to do is no reason to fail.
    testTimeout: 30_000,
    projects: [
      { extends: true, test: { name: "pure", environment: "node", isolate: false, include: ALL, exclude: WITH_PAGE } },
      {
        extends: true,
        test: { name: "page", environment: "jsdom", setupFiles: ["src/ui/testing.ts"], include: WITH_PAGE },
      },
    ],
  },
});
