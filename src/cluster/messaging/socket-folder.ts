/**
 * The folder of a node's ipc socket: TMPDIR/shoal-m-XXXXXX, mode 700, with the socket m: no other user can connect, or
 * put a socket there. It is removed with its listener, or when the process or thread ends.
 *
 * A starting node removes folders of killed processes: the user's own, of mode 700, older than a minute, and without a
 * socket or with one that refuses connections.
 */
import { rmSync } from "node:fs";
import { lstat, mkdtemp, opendir, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isListenedAt } from "../listened-at.js";

const PREFIX = "shoal-m-";
const NAME = /^shoal-m-[A-Za-z0-9]{6}$/;
const SOCKET = "m";
/** Of the temporary folder, at one start. */
const MAX_NAMES = 16_384;
/** A folder may belong to a starting node. */
const STARTING_NODE = 60_000;

const kept = new Set<string>();
let lookedAt = Number.NEGATIVE_INFINITY;

/**
 * @returns the path for a socket
 * @throws the system's errors
 */
export async function makeSocketFolder(): Promise<string> {
  const [folder] = await Promise.all([mkdtemp(join(tmpdir(), PREFIX)).then(keep), removeLeftFolders()]);
  return join(folder, SOCKET);
}

function keep(folder: string): string {
  if (kept.size === 0) process.on("exit", removeAll);
  kept.add(folder);
  return folder;
}

export async function removeSocketFolder(path: string): Promise<void> {
  const folder = join(path, "..");
  await rm(folder, { recursive: true, force: true });
  kept.delete(folder);
  if (kept.size === 0) process.off("exit", removeAll);
}

function removeAll(): void {
  for (const folder of kept) {
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // No longer ours to change.
    }
  }
}

/** Removes some folders of killed processes; the next start continues. */
async function removeLeftFolders(): Promise<void> {
  const now = performance.now();
  if (now - lookedAt < STARTING_NODE) return;
  lookedAt = now;
  const names: string[] = [];
  try {
    let seen = 0;
    for await (const { name } of await opendir(tmpdir(), { bufferSize: 1_024 })) {
      if (NAME.test(name)) names.push(name);
      seen += 1;
      if (seen >= MAX_NAMES) break;
    }
  } catch {
    return; // It cannot be listed, so it is not ours to clear.
  }
  // Each check tries other folders if there are many.
  const first = Math.floor(Math.random() * names.length);
  const tried = [...names.slice(first), ...names.slice(0, first)].slice(0, 64);
  await Promise.all(tried.map((name) => removeLeft(join(tmpdir(), name))));
}

async function removeLeft(folder: string): Promise<void> {
  try {
    const stat = await lstat(folder);
    if (!stat.isDirectory() || stat.uid !== process.getuid?.() || (stat.mode & 0o077) !== 0) return;
    if (Math.abs(Date.now() - stat.mtimeMs) < STARTING_NODE) return;
    const path = join(folder, SOCKET);
    if (await isListenedAt(path)) return;
    await rm(path, { force: true });
    await rmdir(folder);
  } catch {
    // Another process removed it, or it has another file.
  }
}
