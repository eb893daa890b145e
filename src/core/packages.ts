/** Loads at run time: files of the built package, packages bundled in it, and optional packages. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomId } from "./bytes.js";
import { NotSupportedError } from "./errors.js";

let root: URL | undefined;
let version: string | undefined;
let instance: string | undefined;

/** @param path relative to the package root, such as `dist/bench/main.js` */
export function builtFile(path: string): URL {
  root ??= packageRoot();
  return new URL(path, root);
}

export interface ThisProcess {
  /** Of shoal; "" in a bundle of one file. */
  readonly version: string;
  /** s since 1970. */
  readonly started: number;
  /** Different for each process. */
  readonly instance: string;
}

export function thisProcess(): ThisProcess {
  version ??= versionOf();
  instance ??= randomId();
  return { version, started: Math.round(performance.timeOrigin / 1_000), instance };
}

function versionOf(): string {
  try {
    return (JSON.parse(readFileSync(builtFile("package.json"), "utf8")) as { version: string }).version;
  } catch {
    return ""; // No file of the package is beside this one.
  }
}

/** Loads a package from dist/bundled. A checkout built without the bundler loads the package itself. */
export function loadBundled(name: string): unknown {
  const file = builtFile(`dist/bundled/${name}.cjs`);
  return createRequire(import.meta.url)(existsSync(file) ? fileURLToPath(file) : name);
}

function packageRoot(): URL {
  let folder = new URL(".", import.meta.url);
  while (!existsSync(new URL("package.json", folder))) {
    const above = new URL("..", folder);
    if (above.href === folder.href) break; // The root of a drive.
    folder = above;
  }
  return folder;
}

/** Defined in CommonJS bundles only. */
declare const __filename: unknown;

/**
 * Makes a `require` relative to this package, for packages loaded on first use.
 *
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

/** Loads an optional package on demand. @param purpose subject of the error's sentence @throws NotSupportedError `ERR_PACKAGE_UNAVAILABLE` */
export function loadOptional(
  name: string,
  purpose: string,
  require: (id: string) => unknown = requireHere(),
): unknown {
  try {
    return require(name);
  } catch (cause) {
    throw new NotSupportedError(
      `${purpose} needs the npm package ${name}, which ${reasonFor(name, cause)}`,
      "ERR_PACKAGE_UNAVAILABLE",
      { cause },
    );
  }
}

function reasonFor(name: string, cause: unknown): string {
  const { code, message } = cause as { code?: unknown; message?: unknown };
  // A missing dependency of the package gives the same code.
  if (code === "MODULE_NOT_FOUND" && String(message).includes(`'${name}'`))
    return `is not installed: npm install ${name}`;
  const reason = String(message ?? cause).split("\n", 1)[0];
  return `does not load on this machine (${reason}); npm install ${name} installs it again`;
}
