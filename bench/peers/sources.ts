/** Finds the sources of sides in other languages: beside the compiled files when installed, in bench/ in a checkout. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** @returns the folder, or `undefined` where neither place has it */
export function sourceFolder(name: string, file: string): string | undefined {
  const places = [`./${name}/`, `../../../bench/peers/${name}/`];
  return places
    .map((place) => fileURLToPath(new URL(place, import.meta.url)))
    .find((folder) => existsSync(folder + file));
}
