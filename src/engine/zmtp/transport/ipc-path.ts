/**
 * Ownership of ipc paths. A listener is bound aside, under a temporary name, and then gets the path:
 *
 *   nothing at the path             link: the system admits one of several
 *   a listener at the path          it stays
 *   a dead socket at the path       one of several may replace it, by a claim
 *
 * A claim on a dead socket is another link to the claimant's listener, named for the dead socket's inode, so only one
 * process at a time can make it. The claim of a dead claimant is a dead socket itself. The process that finds it claims it
 * by the same rule, and inherits its rights. So no cleanup is needed before others can go on, and no timeout decides. Under its
 * claim the claimant checks once more, then renames its listener over the path, which therefore never disappears.
 *
 * The rules yield a path to ask whether it has a listener; the caller answers (ipc-probe.ts).
 */
import { linkSync, lstatSync, readFileSync, renameSync, rmdirSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";

export type Answer = "listens" | "refuses" | "gone";

export type Asking<T> = Generator<string, T, Answer>;

/** Most bytes of a path (sockaddr_un), without the final null byte. */
export const MAX_PATH = process.platform === "linux" ? 107 : 103;

/** Bound on races lost to others; chance alone never gets there. */
const MAX_ATTEMPTS = 1_000;

/** A dead socket. The inode distinguishes it from later sockets at the path. */
interface Dead {
  readonly path: string;
  readonly inode: string;
}

/**
 * Gives `path` to the listener at `aside`, a path in the same folder.
 *
 * @returns `false` if another process listens at `path`, or it is not a socket
 * @throws errors of the file system, such as EACCES
 */
export function* takePath(path: string, aside: string): Asking<boolean> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (hasLinked(aside, path)) {
      unlinkSync(aside);
      return true;
    }
    const found = yield* deadAt(path);
    if (found === "taken") return false;
    if (found === "gone") continue;
    const seized = yield* seize(found, aside);
    if (seized !== "again") return seized === "done";
  }
  return false;
}

function* seize(dead: Dead, aside: string): Asking<"done" | "taken" | "again"> {
  /** The dead socket, then dead claimants, each with a claim on the one before. */
  const chain = [dead];
  for (;;) {
    const last = chain.at(-1) as Dead;
    const claim = join(dirname(dead.path), `.${last.inode}`);
    if (Buffer.byteLength(claim) > MAX_PATH) return "taken"; // Without room for a claim the cautious answer is "taken".
    if (hasLinked(aside, claim)) {
      try {
        const still = yield* deadAt(dead.path);
        if (typeof still === "string" || !chain.every(isThere)) return "again";
        renameSync(aside, dead.path);
        for (const { path } of chain.slice(1)) unlinkSync(path);
        return "done";
      } finally {
        unlinkSync(claim);
      }
    }
    const claimant = yield* deadAt(claim);
    if (typeof claimant === "string") return claimant === "taken" ? "taken" : "again";
    chain.push(claimant);
  }
}

/** A dead socket, "taken" for anything to leave alone, or "gone" if the path is empty or has changed. */
function* deadAt(path: string): Asking<Dead | "taken" | "gone"> {
  const inode = socketAt(path);
  if (inode === "gone" || inode === "taken") return inode;
  if (isBoundByName(path)) return "taken";
  const answer = yield path;
  if (answer !== "refuses") return answer === "gone" ? "gone" : "taken";
  return isThere({ path, inode }) ? { path, inode } : "gone";
}

function socketAt(path: string): string {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (found === undefined) return "gone";
  return found.isSocket() ? found.ino.toString(36) : "taken";
}

function isThere({ path, inode }: Dead): boolean {
  return socketAt(path) === inode;
}

/**
 * Whether the system lists a socket bound to this path. Other libraries bind the path itself, and refuse
 * connections between `bind` and `listen`.
 */
function isBoundByName(path: string): boolean {
  let names: string;
  try {
    names = readFileSync("/proc/net/unix", "latin1");
  } catch {
    return false; // Only Linux has the list.
  }
  const end = ` ${Buffer.from(path).toString("latin1")}`;
  return names.split("\n").some((line) => line.endsWith(end));
}

function hasLinked(existing: string, path: string): boolean {
  try {
    linkSync(existing, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

interface Owned {
  readonly inode: string;
  readonly folder: string | undefined;
}

const owned = new Map<string, Owned>();

/**
 * Registers a listener's path for removal by `disown`, or at the end of the process or thread.
 *
 * @param folder created for the path, removed with it
 */
export function own(path: string, folder?: string): void {
  if (owned.size === 0) process.on("exit", disownAll);
  owned.set(path, { inode: socketAt(path), folder });
}

export function disown(path: string): void {
  const entry = owned.get(path);
  if (entry === undefined) return;
  owned.delete(path);
  if (owned.size === 0) process.off("exit", disownAll);
  try {
    if (isThere({ path, inode: entry.inode })) unlinkSync(path);
    if (entry.folder !== undefined) rmdirSync(entry.folder);
  } catch {
    // The folder is gone or read-only, or another process has put a file there.
  }
}

function disownAll(): void {
  for (const path of [...owned.keys()]) disown(path);
}
