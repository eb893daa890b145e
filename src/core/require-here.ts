/** `require`, from this package: for what is loaded with its first use. */
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** In a bundle of CommonJS only. */
declare const __filename: unknown;

/**
 * Bundlers leave `import.meta.url` empty in CommonJS, esbuild among them: packages are looked for from the bundle then.
 *
 * A package is loaded by its real path, as by `require` itself. But Node.js 20 and 22 leave links as they are in what they have
 * found once the last file that the process looked at was a socket, such as one of ipc: behind a link, as package managers
 * make them, a second file of a package would then be loaded with copies of the first one's modules.
 */
export function requireHere(): (id: string) => unknown {
  const url: string | undefined = import.meta.url;
  const require = createRequire(
    url ?? (typeof __filename === "string" ? __filename : join(process.cwd(), "bundle.js")),
  );
  return (id) => require(realPathOf(require.resolve(id)));
}

/** As it is where the system gives none: folders that this user may not look through, file systems of archives and of memory. */
function realPathOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    return path;
  }
}
