/**
 * Whose an ipc path is. A listener is made aside, under a name of its own, and then given the path:
 *
 *   nothing at the path      link: the system lets one of several through
 *   somebody listens there   it is theirs
 *   a dead socket is there   one of several may replace it, by a claim
 *
 * A claim on a dead socket is one more link to the claimant's own listener, named for the dead socket's inode. So a claim
 * is made by one at a time, and a claimant that has died is a dead socket itself: the process that finds it claims that one, by
 * the same rule, and has the rights of its claim. Nothing has to be cleaned up before others can go on, and no time-out
 * decides. Under its claim the claimant looks once more, then renames its listener over the path: nobody sees it absent.
 *
 * These rules ask whether a path has a listener by yielding it; their caller answers (ipc-probe.ts).
 */
import { linkSync, lstatSync, readFileSync, renameSync, rmdirSync, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";

/** What a connection to a path comes to. */
export type Answer = "listens" | "refuses" | "gone";

/** Rules that ask about paths. */
export type Asking<T> = Generator<string, T, Answer>;

/** Bytes that a path may have (sockaddr_un), without its end. */
export const MAX_PATH = process.platform === "linux" ? 107 : 103;

/** Times that others may come between; there are never so many by chance. */
const MAX_ATTEMPTS = 1_000;

/** A dead socket, by what distinguishes it from any other that is there at the same time. */
interface Dead {
  readonly path: string;
  readonly inode: string;
}

/**
 * Gives `path` to the listener at `aside`, which is a path in the same folder.
 *
 * @returns whether it has it; if not, another process listens there, or it is not a socket
 * @throws what the file system says, such as EACCES
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

/** Replaces a dead socket by the listener at `aside`, if nobody else does. */
function* seize(dead: Dead, aside: string): Asking<"done" | "taken" | "again"> {
  /** The dead socket, then dead claimants: each claimed the one before it. */
  const chain = [dead];
  for (;;) {
    const last = chain.at(-1) as Dead;
    const claim = join(dirname(dead.path), `.${last.inode}`);
    if (Buffer.byteLength(claim) > MAX_PATH) return "taken"; // No claim can be made: the cautious answer.
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

/** What is at the path: a dead socket, what has to be left alone, or nothing (or another thing by now). */
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
 * Whether the system lists a socket that was bound to this very path. A program of another library binds the path
 * itself, and refuses connections for the moment between its `bind` and its `listen`.
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

/** A path of a listener. */
interface Owned {
  readonly inode: string;
  /** Made for this path alone: it goes with it. */
  readonly folder: string | undefined;
}

/** The paths that listeners of this process have. */
const owned = new Map<string, Owned>();

/**
 * The path is a listener's now: it is removed at the listener's end, and at that of the process or thread.
 *
 * @param folder one that was made for the path alone, and is removed with it
 */
export function own(path: string, folder?: string): void {
  if (owned.size === 0) process.on("exit", disownAll);
  owned.set(path, { inode: socketAt(path), folder });
}

/** Removes a path, if it is still that of its listener. */
export function disown(path: string): void {
  const entry = owned.get(path);
  if (entry === undefined) return;
  owned.delete(path);
  if (owned.size === 0) process.off("exit", disownAll);
  try {
    if (isThere({ path, inode: entry.inode })) unlinkSync(path);
    if (entry.folder !== undefined) rmdirSync(entry.folder);
  } catch {
    // Its folder is gone, no longer ours to change, or somebody put something there: it is theirs now.
  }
}

function disownAll(): void {
  for (const path of [...owned.keys()]) disown(path);
}
