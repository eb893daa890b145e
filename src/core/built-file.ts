/** Files of the built package that are loaded by name. */
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

let root: URL | undefined;
let version: string | undefined;
const instance = randomUUID();

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
