/** Finds the sources of sides in other languages, which only a checkout has: the package is for users of the library. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../places.js";

/** @returns the folder, or `undefined` in an installed package */
export function sourceFolder(name: string, file: string): string | undefined {
  const folder = join(ROOT, `bench/peers/${name}/`);
  return existsSync(folder + file) ? folder : undefined;
}
