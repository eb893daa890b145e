/** `require`, from this package: for what is loaded with its first use. */
import { createRequire } from "node:module";
import { join } from "node:path";

/** In a bundle of CommonJS only. */
declare const __filename: unknown;

/** Bundlers leave `import.meta.url` empty in CommonJS, esbuild among them: packages are looked for from the bundle then. */
export function requireHere(): NodeJS.Require {
  const url: string | undefined = import.meta.url;
  if (url !== undefined) return createRequire(url);
  return createRequire(typeof __filename === "string" ? __filename : join(process.cwd(), "bundle.js"));
}
