/** Finds the sources of sides in other languages, which only a checkout has: the package is for users of the library. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @returns the folder, or `undefined` in an installed package */
export function sourceFolder(name: string, file: string): string | undefined {
  const folder = fileURLToPath(new URL(`../../../bench/peers/${name}/`, import.meta.url));
  return existsSync(folder + file) ? folder : undefined;
}
