/** The built package, which the tests of the whole harness run. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const MAIN = join(ROOT, "dist/cli/main.js");
const HARNESS = join(ROOT, "dist/bench/main.js");

/** Several test files need it at once, so none of them builds. @throws Error when it is not there, or old */
export function requireBuild(): void {
  const sources = readdirSync(join(ROOT, "bench"), { recursive: true, encoding: "utf8" });
  const newest = Math.max(
    ...sources
      .filter((name) => name.endsWith(".ts"))
      .map((name) => statSync(join(ROOT, "bench", name)).mtimeMs),
  );
  if (!existsSync(MAIN) || !existsSync(HARNESS) || statSync(HARNESS).mtimeMs < newest) {
    throw new Error("dist/bench is missing or older than bench: npm run build");
  }
}
