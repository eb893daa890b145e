/** Files of the built package that are loaded by name: threads, and what is compiled apart. */
import { existsSync } from "node:fs";

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

function packageRoot(): URL {
  let folder = new URL(".", import.meta.url);
  while (!existsSync(new URL("package.json", folder))) {
    const above = new URL("..", folder);
    if (above.href === folder.href) break; // The root, also of a drive.
    folder = above;
  }
  return folder;
}
