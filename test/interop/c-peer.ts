/** Compiles peer.c against the system's libzmq, where both a compiler and the library are at hand, and starts it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { type Answer, ProcessPeer, peerFile, type Wording } from "./peer.js";

const SOURCE = peerFile("peer.c");
const FLAGS = ["-std=gnu11", "-O1", "-pthread"];

function cannot(): string | false {
  try {
    execFileSync("cc", [...FLAGS, "-fsyntax-only", SOURCE], {
      stdio: ["ignore", "ignore", "pipe"],
      timeout: 60_000,
    });
    return false;
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? "") || String(error);
    // A mistake in our program is no reason to skip.
    if (!/zmq\.h|ENOENT/.test(said)) throw new Error(said);
    return "no C compiler (cc), or no libzmq to build against (Debian: gcc libzmq3-dev)";
  }
}

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
export const NO_C: string | false = cannot();
if (NO_C !== false) console.warn(`test/interop is skipped in part: ${NO_C}`);

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
