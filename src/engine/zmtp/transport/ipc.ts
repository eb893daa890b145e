/**
 * Unix domain sockets: paths, `*` for a temporary one, and Linux's abstract names (`@NAME`).
 *
 * A killed process leaves its socket file, and the path then counts as in use.
 *
 *   bind --in use--> a probe connects --refused, or gone--> the file is removed, and the bind tried once more
 *                                   `--accepted, or no socket--> EADDRINUSE
 *
 * Processes that take over the same dead path within microseconds may all succeed; the last one has the path.
 */
import { lstatSync, mkdtempSync, rmdirSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { addressOf, checkIpcPath } from "../../../core/schemes/grammar.js";
import { ignore } from "../../../core/waiter.js";
import { Reader } from "./reader.js";
import { closeServer, KernelStream, listen, listenSync, makeServer, whenConnected } from "./tcp.js";
import type { Acceptor, Listener, Transport } from "./transport.js";

const PIPE_FAMILY = -1;

/** libuv before 1.48 (Node.js 20) pads abstract names with zeros, and reaches only programs that do so. */
function pathOf(endpoint: string): string {
  return addressOf(endpoint).replace(/^@/, "\0");
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

/** @returns the socket at the path, which may be dead @throws the bind's error */
function suspectOf(error: unknown, place: Place): string {
  const isInUse = (error as NodeJS.ErrnoException).code === "EADDRINUSE" && isFile(place);
  const suspect = isInUse ? socketAt(place.path) : undefined;
  if (suspect !== undefined) return suspect;
  remove({ ...place, socket: undefined });
  throw error;
}

export const ipc: Transport = {
  scheme: "ipc",

  async listen(given, { backlog }, acceptor) {
    const place = placeOf(given);
    const attempt = async (): Promise<Listener> => {
      const made = serverAt(place, acceptor);
      await listen(made, { path: place.path, backlog }, place.endpoint);
      return listenerOf(made, place);
    };
    try {
      return await attempt();
    } catch (error) {
      const socket = suspectOf(error, place);
      if (!(await isDead(place.path))) throw error;
      remove({ ...place, socket });
    }
    return attempt();
  },

  listenSync(given, { backlog }, acceptor) {
    const place = placeOf(given);
    const attempt = (): Listener => {
      const made = serverAt(place, acceptor);
      listenSync(made, place.path, -1, PIPE_FAMILY, backlog, place.endpoint);
      return listenerOf(made, place);
    };
    try {
      return attempt();
    } catch (error) {
      const socket = suspectOf(error, place);
      if (!isDeadSync(place.path)) throw error;
      remove({ ...place, socket });
    }
    return attempt();
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

interface Owned {
  readonly path: string;
  readonly socket: string | undefined;
  readonly folder: string | undefined;
}

/** Removes the socket unless another one has taken its place, and the folder. */
function remove({ path, socket, folder }: Owned): void {
  try {
    if (socket !== undefined && socketAt(path) === socket) unlinkSync(path);
    if (folder !== undefined) rmdirSync(folder);
  } catch {
    // The folder is gone or read-only, or another process has put a file there.
  }
}

const owned = new Map<string, Owned>();

/** Removes the path by `disown`, or at the end of the process or thread. @param folder created for it */
export function own(path: string, folder?: string): void {
  if (owned.size === 0) process.on("exit", disownAll);
  owned.set(path, { path, socket: socketAt(path), folder });
}

export function disown(path: string): void {
  const entry = owned.get(path);
  if (entry === undefined) return;
  owned.delete(path);
  if (owned.size === 0) process.off("exit", disownAll);
  remove(entry);
}

function disownAll(): void {
  for (const path of [...owned.keys()]) disown(path);
}
