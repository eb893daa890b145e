/**
 * Unix domain sockets: paths, `*` for a temporary one, and Linux's abstract names (`@NAME`).
 *
 * A killed process leaves its socket file, and the path then counts as in use.
 *
 *   bind --in use--> a probe connects --refused--> the file is removed, and the bind tried once more
 *                  |                   |--gone--> the bind is tried once more
 *                  |                   `--accepted, or no socket--> EADDRINUSE
 *                  `--gone by now--> the bind is tried once more
 *
 * Processes that take over the same dead path within microseconds may all succeed; the last one has the path.
 */
import { existsSync, lstatSync, mkdtempSync, rmdirSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { addressOf, checkIpcPath } from "../../../core/schemes/grammar.js";
import { ignore } from "../../../core/waiter.js";
import { transportError } from "../errors.js";
import { Reader } from "./reader.js";
import { closeServer, KernelStream, listen, listenSync, makeServer, whenConnected } from "./tcp.js";
import type { Acceptor, Listener, Transport } from "./transport.js";

const PIPE_FAMILY = -1;

interface Owned {
  readonly file: string | undefined;
  readonly folder: string | undefined;
}

const owned = new Map<string, Owned>();

/** libuv before 1.48 (Node.js 20) pads abstract names with zeros, and reaches only programs that do so. */
const PADS_ABSTRACT_NAMES = /^1\.([0-3]?[0-9]|4[0-7])\./.test(process.versions.uv ?? "");
let warned = false;

function pathOf(endpoint: string): string {
  const name = addressOf(endpoint);
  if (!name.startsWith("@")) return name;
  if (PADS_ABSTRACT_NAMES && !warned) {
    warned = true;
    process.emitWarning(
      `${endpoint}: this version of Node.js pads abstract names with zeros, so that only programs on such a version ` +
        "reach each other by them; use a path, or Node.js 22",
      { type: "ShoalWarning", code: "SHOAL_ABSTRACT_NAME" },
    );
  }
  return `\0${name.slice(1)}`;
}

interface Place {
  readonly endpoint: string;
  readonly path: string;
  readonly folder: string | undefined;
}

function placeOf(given: string): Place {
  if (given !== "ipc://*") return { endpoint: given, path: pathOf(given), folder: undefined };
  checkIpcPath(given, join(tmpdir(), "shoal-XXXXXX", "socket"));
  const folder = mkdtempSync(join(tmpdir(), "shoal-"));
  const path = join(folder, "socket");
  return { endpoint: `ipc://${path}`, path, folder };
}

function serverAt({ endpoint }: Place, acceptor: Acceptor): Server {
  return makeServer(endpoint, acceptor, (socket) =>
    acceptor.accepted(new KernelStream(socket, endpoint, addressOf(endpoint))),
  );
}

function isFile({ path }: Place): boolean {
  return !path.startsWith("\0") && process.platform !== "win32";
}

function listenerOf(made: Server, place: Place): Listener {
  const { endpoint, path, folder } = place;
  if (isFile(place) || folder !== undefined) own(path, folder);
  return {
    endpoint,
    async close() {
      // libuv removes the path before it closes the socket.
      const closed = closeServer(made);
      disown(path);
      await closed;
    },
  };
}

/** @returns the socket at the path, which may be dead; `undefined`: the path is free by now @throws the bind's error */
function suspectOf(error: unknown, place: Place): string | undefined {
  if ((error as NodeJS.ErrnoException).code === "EADDRINUSE" && isFile(place)) {
    const suspect = socketAt(place.path);
    if (suspect !== undefined || !existsSync(place.path)) return suspect;
  }
  if (place.folder !== undefined) {
    try {
      rmdirSync(place.folder);
    } catch {
      // The program needs the error of the bind instead.
    }
  }
  throw error;
}

function removeDead({ endpoint, path }: Place, suspect: string): void {
  try {
    removeSocket(path, suspect);
  } catch (cause) {
    throw transportError(cause, "bind", endpoint);
  }
}

async function listenAt(place: Place, backlog: number, acceptor: Acceptor): Promise<Listener> {
  const made = serverAt(place, acceptor);
  await listen(made, { path: place.path, backlog }, place.endpoint);
  return listenerOf(made, place);
}

function listenSyncAt(place: Place, backlog: number, acceptor: Acceptor): Listener {
  const made = serverAt(place, acceptor);
  listenSync(made, place.path, -1, PIPE_FAMILY, backlog, place.endpoint);
  return listenerOf(made, place);
}

export const ipc: Transport = {
  scheme: "ipc",

  async listen(given, { backlog }, acceptor) {
    const place = placeOf(given);
    try {
      return await listenAt(place, backlog, acceptor);
    } catch (error) {
      const suspect = suspectOf(error, place);
      if (suspect !== undefined) {
        if (!(await isDead(place.path))) throw error;
        removeDead(place, suspect);
      }
    }
    return listenAt(place, backlog, acceptor);
  },

  listenSync(given, { backlog }, acceptor) {
    const place = placeOf(given);
    try {
      return listenSyncAt(place, backlog, acceptor);
    } catch (error) {
      const suspect = suspectOf(error, place);
      if (suspect !== undefined) {
        if (!isDeadSync(place.path)) throw error;
        removeDead(place, suspect);
      }
    }
    return listenSyncAt(place, backlog, acceptor);
  },

  dial(endpoint, options, done) {
    const reader = new Reader(false);
    const socket = connect({ path: pathOf(endpoint), onread: reader.onread });
    return whenConnected(socket, options.connectTimeout, (error) => {
      if (error !== undefined) socket.on("error", ignore).destroy();
      done(error ?? new KernelStream(socket, endpoint, addressOf(endpoint), reader));
    });
  },
};

/** ms; a late answer counts as a listener. */
const PROBE_TIMEOUT = 5_000;
/** ms; sockets refuse connections between the system's `bind` and `listen`, which a probe would take for dead. */
const PROBE_DELAY = 20;

/** Other errors, such as that of a full backlog, come from a listener. */
const DEAD = ["ECONNREFUSED", "ENOENT"];

/** The thread has an event loop while the asking one is blocked. */
const THREAD = `
const { workerData: { path, answer, delay, dead } } = require("node:worker_threads");
setTimeout(() => {
  const socket = require("node:net").connect(path);
  const give = (value) => {
    Atomics.store(answer, 0, value);
    Atomics.notify(answer, 0);
    socket.destroy();
  };
  socket.once("connect", () => give(1));
  socket.once("error", ({ code }) => give(dead.includes(code) ? 2 : 1));
}, delay);
`;

async function isDead(path: string): Promise<boolean> {
  await setTimeout(PROBE_DELAY);
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", ({ code = "" }: NodeJS.ErrnoException) => resolve(DEAD.includes(code)));
  });
}

function isDeadSync(path: string): boolean {
  const answer = new Int32Array(new SharedArrayBuffer(4));
  const { Worker } = process.getBuiltinModule("node:worker_threads");
  const workerData = { path, answer, delay: PROBE_DELAY, dead: DEAD };
  const thread = new Worker(THREAD, { eval: true, execArgv: [], workerData });
  thread.unref();
  Atomics.wait(answer, 0, 0, PROBE_TIMEOUT);
  return Atomics.load(answer, 0) === 2;
}

/** @returns which socket lies at the path; the time tells a file from a later one with the same inode */
function socketAt(path: string): string | undefined {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found?.isSocket() === true ? `${found.ino} ${found.mtimeNs}` : undefined;
}

/** Removes the socket unless another one has taken its place. */
function removeSocket(path: string, socket: string): void {
  if (socketAt(path) === socket) unlinkSync(path);
}

/** Removes the path by `disown`, or at the end of the process or thread. @param folder created for it */
export function own(path: string, folder?: string): void {
  if (owned.size === 0) process.on("exit", disownAll);
  owned.set(path, { file: socketAt(path), folder });
}

export function disown(path: string): void {
  const entry = owned.get(path);
  if (entry === undefined) return;
  owned.delete(path);
  if (owned.size === 0) process.off("exit", disownAll);
  try {
    if (entry.file !== undefined) removeSocket(path, entry.file);
    if (entry.folder !== undefined) rmdirSync(entry.folder);
  } catch {
    // The folder is gone or read-only, or another process has put a file there.
  }
}

function disownAll(): void {
  for (const path of [...owned.keys()]) disown(path);
}
