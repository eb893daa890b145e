/** Compiles peer.c against the system's libzmq, where both a compiler and the library are at hand, and starts it. */
import { execFileSync } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { missing } from "../support/peers.js";
import { type Answer, ProcessPeer, peerFile, type Wording } from "./peer.js";

const SOURCE = peerFile("peer.c");
const FLAGS = ["-std=gnu11", "-O1", "-pthread"];

/** Compiles it, once for a run. @returns the program's path */
function compiled(): string {
  const program = join(inject("scratch"), "peer");
  if (!existsSync(program)) {
    // Another process may do the same now: each has a file of its own until it is whole.
    const part = `${program}-${process.pid}`;
    execFileSync("cc", [...FLAGS, "-o", part, SOURCE, "-lzmq"], { timeout: 60_000 });
    renameSync(part, program);
  }
  return program;
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
