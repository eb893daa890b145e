/** Locations in the package, for code that the build may put into any file. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** Folder of the package: of the checkout, or of the installation. */
export const ROOT = dirname(createRequire(import.meta.url).resolve("shoal/package.json"));

/**
 * A program of the built harness.
 * @param name such as `peers/node/main`: the build has each file `main` and `NAME-main`
 */
export function programFile(name: string): string {
  return join(ROOT, "dist/bench", `${name}.js`);
}
