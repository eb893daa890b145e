/** Files of the built package that are loaded by name: threads, and what is built apart. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

let root: URL | undefined;

/**
 * Where a file of the package is, for code that may itself stand in any of its files.
 *
 * @param path from the package's root, such as `dist/bench/main.js`
 */
export function builtFile(path: string): URL {
  root ??= packageRoot();
  return new URL(path, root);
}

/**
 * Loads a package that the build has put into a file of its own, at once and not at import.
 *
 * @param name of the package, and of the file in dist/bundled; without that file (a checkout that was built without the
 *   bundler) the package itself is loaded
 */
export function loadBundled(name: string): unknown {
  const file = builtFile(`dist/bundled/${name}.cjs`);
  return createRequire(import.meta.url)(existsSync(file) ? fileURLToPath(file) : name);
}

function packageRoot(): URL {
  let folder = new URL(".", import.meta.url);
  while (!existsSync(new URL("package.json", folder))) {
    const above = new URL("..", folder);
    if (above.href === folder.href) break; // The root, also of a drive.
    folder = above;
  }
  return folder;
}
