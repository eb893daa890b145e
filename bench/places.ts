/** Locations in the package, for code that the build may put into any file. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const own = createRequire(import.meta.url);
/** A global shoal has no packages of its own: those of the project that it runs in come first. */
const project = createRequire(join(process.cwd(), "package.json"));

/** Folder of the package: of the checkout, or of the installation. */
export const ROOT = dirname(own.resolve("shoal/package.json"));

/**
 * A program of the built harness.
 * @param name such as `peers/node/main`: the build has each file `main` and `NAME-main`
 */
export function programFile(name: string): string {
  return join(ROOT, "dist/bench", `${name}.js`);
}

/** The file of a package of the project, or else of one next to shoal; `undefined` if it is not installed. */
export function packageFile(name: string): string | undefined {
  for (const require of [project, own])
    try {
      return require.resolve(name);
    } catch {
      // The next one may have it.
    }
  return undefined;
}

/** @throws Error if it is not installed */
export function requirePackage<T>(name: string): T {
  return own(packageFile(name) ?? name) as T;
}
