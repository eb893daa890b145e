/** Where things of the package are, for code that the build may put into any of its files. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The folder of the package: of the checkout, or where it is installed. */
export const ROOT = dirname(createRequire(import.meta.url).resolve("shoal/package.json"));

/**
 * A program of the built harness, which runs in a process of its own.
 *
 * @param name such as `peers/node/main`: the build has each file `main` and `NAME-main`
 */
export function programFile(name: string): string {
  return join(ROOT, "dist/bench", `${name}.js`);
}
