/** Compiles peer.c against the system's libzmq, where both a compiler and the library are at hand, and starts it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { missing } from "../support/peers.js";
import { type Answer, ProcessPeer, peerFile, type Wording } from "./peer.js";

const SOURCE = peerFile("peer.c");
const FLAGS = ["-std=gnu11", "-O1", "-pthread"];

let folder: string | undefined;
afterAll(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

/** Compiles it, once for a file of tests. @returns the program's path */
function compiled(): string {
  if (folder === undefined) {
    folder = mkdtempSync(join(tmpdir(), "shoal-peer-c-"));
    execFileSync("cc", [...FLAGS, "-o", join(folder, "peer"), SOURCE, "-lzmq"], { timeout: 60_000 });
  }
  return join(folder, "peer");
}

/** False, or why tests with the peer cannot run here. */
export const NO_C: string | false = missing("libzmq");

const hex = (frame: string): string => `x${Buffer.from(frame, "base64").toString("hex")}`;
const base64 = (frame: string): string => Buffer.from(frame.slice(1), "hex").toString("base64");

/** `op name=value…`, and `ok name=value…` or `error why`. */
const WORDS: Wording = {
  write(op, { options = {}, ...args }) {
    const words = Object.entries({ ...args, ...(options as Answer) }).map(([name, value]) => {
      if (Array.isArray(value)) return `${name}=${value.map(hex).join(",")}`;
      return `${name}=${name === "peer" ? hex(String(value)) : value}`;
    });
    return [op, ...words].join(" ");
  },
  read(line) {
    if (!line.startsWith("ok")) return { error: line };
    const words = line.split(" ").slice(1);
    return Object.fromEntries(
      words.map((word) => {
        const [name, value] = [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)];
        const list = value === "" ? [] : value.split(",");
        if (name === "frames") return [name, list.map(base64)];
        return [name, name === "jumps" ? list.map(Number) : name === "first" ? Number(value) : value];
      }),
    );
  },
};

/** The C program in a process of its own. */
export function startC(): Promise<ProcessPeer> {
  return ProcessPeer.start("C", compiled(), [], WORDS);
}
