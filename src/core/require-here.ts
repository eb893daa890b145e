/** A `require` relative to this package, for packages loaded on first use. */
import { realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Defined in CommonJS bundles only. */
declare const __filename: unknown;

/**
 * Resolves from the bundle where `import.meta.url` is empty. Paths become real ones: after a lookup of a
 * socket file Node.js 20 and 22 keep symbolic links, and a linked package would load twice.
 */
export function requireHere(): (id: string) => unknown {
  const url: string | undefined = import.meta.url;
  const require = createRequire(
    url ?? (typeof __filename === "string" ? __filename : join(process.cwd(), "bundle.js")),
  );
  return (id) => require(realPathOf(require.resolve(id)));
}

/** Some have none: unreadable folders, and file systems in archives or memory. */
function realPathOf(path: string): string {
  try {
    return realpathSync.native(path);
  } catch {
    return path;
  }
}
