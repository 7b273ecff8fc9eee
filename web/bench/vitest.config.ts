import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `NODE_ENV=production npx vitest run --config bench/vitest.config.ts`
export default defineConfig({
  plugins: [react()],
  test: { environment: "jsdom", include: ["bench/render.ts"], setupFiles: ["src/ui/testing.ts"] },
});
