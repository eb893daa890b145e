/** The vectors of a page of docs/spec: messages by name, their frames in hex, with `-` for an empty one. */
import { readFileSync } from "node:fs";

export function vectorsOf(page: string): [name: string, frames: string][] {
  const rows = readFileSync(`docs/spec/${page}`, "utf8").matchAll(/^\| (.+) \| `([0-9a-f -]+)` \|$/gm);
  return [...rows].map(([, name, frames]) => [name as string, frames as string]);
}

export const hexOf = (frames: readonly (string | Uint8Array)[]): string =>
  frames.map((frame) => Buffer.from(frame as string).toString("hex") || "-").join(" ");
export const framesOf = (vector: string): Buffer[] =>
  vector.split(" ").map((frame) => Buffer.from(frame === "-" ? "" : frame, "hex"));
