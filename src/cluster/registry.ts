/**
 * Registry of the nodes that run on this host: each answers connections to its socket with its entry, one text of JSON.
 *
 *   nodes/ID.sock, in the user's folder for sockets (core/file-system.ts); ID: the first half of the node's id
 *
 * The socket of a killed process refuses connections, and the next reader removes it. A folder that is a link, belongs
 * to another user or can be entered by others is not used.
 */
import { chmod, lstat, readdir, rm } from "node:fs/promises";
import { createConnection, createServer } from "node:net";
import { dirname, join } from "node:path";
import { invalidArgument } from "../core/arguments.js";
import { InvalidStateError, TransportError } from "../core/errors.js";
import { makeOwnFolder, ownFolderFault, runtimeFolder } from "../core/file-system.js";
import { ignore } from "../core/waiter.js";
import { MAX_ENDPOINTS } from "./bounds.js";

const MAX_CONTROL_ENDPOINT = 256;

export interface ClusterNodeEntry {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** `name@host`. */
  readonly name: string;
  /** Name of its cluster. */
  readonly cluster: string;
  /** "host:port" for other nodes. */
  readonly address: string;
  /** UDP and TCP port on this host. */
  readonly port: number;
  /** Process id in the node's own PID namespace. */
  readonly pid: number;
  /** Wall clock in ms of the start. */
  readonly since: number;
  /** Endpoints of the control socket. */
  readonly control: readonly string[];
}

export function checkControl(endpoints: readonly string[]): readonly string[] {
  const isFit =
    Array.isArray(endpoints) &&
    endpoints.length <= MAX_ENDPOINTS &&
    endpoints.every((each) => typeof each === "string" && each.length <= MAX_CONTROL_ENDPOINT);
  if (!isFit)
    throw invalidArgument(
      `control endpoints must be at most ${MAX_ENDPOINTS} texts of at most ${MAX_CONTROL_ENDPOINT} characters`,
      endpoints,
    );
  return [...endpoints];
}

function nodesFolder(): string {
  return join(runtimeFolder(), "nodes");
}

/**
 * Puts a running node in the registry. A socket whose file or folder is removed later is not made again.
 *
 * @param entry of the node now
 * @returns takes it out, and never rejects
 * @throws InvalidStateError `EFSM` if no folder is safe, and the system's errors: others on this host do not find the node
 */
export async function register(
  entry: () => ClusterNodeEntry,
  folder: string = nodesFolder(),
): Promise<() => Promise<void>> {
  // No folder is safe without file owners.
  if (process.getuid === undefined) return async () => undefined;
  const path = join(folder, `${entry().id.slice(0, 16)}.sock`);
  // Every system accepts so many bytes.
  if (Buffer.byteLength(path) > 103)
    throw new InvalidStateError("EFSM", `the path ${path} is too long for a socket`);
  makeOwnFolder(dirname(folder));
  makeOwnFolder(folder);
  const server = createServer((socket) => {
    socket.on("error", ignore).end(JSON.stringify(entry()), () => socket.destroy());
  });
  // Closing removes the socket's file.
  const close = (): Promise<void> => new Promise((resolve) => void server.close(() => resolve()));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path, exclusive: true }, resolve);
  });
  // A connection that could not be accepted does not end the socket.
  server.on("error", ignore).unref();
  try {
    await chmod(path, 0o600);
  } catch (error) {
    await close();
    throw error;
  }
  return close;
}

/**
 * Returns the nodes of this user that run on this host, ordered by name, without those started with `registry: false`
 * and those that do not answer within 1 s, such as paused ones. Removes sockets of killed nodes.
 *
 * @returns at most 1,024; none on a system without user ids
 * @throws TransportError `EMFILE` if the process may open no more files; `ERR_TRANSPORT` if the folder cannot be read
 */
export function clusterNames(): Promise<ClusterNodeEntry[]> {
  return namesIn(nodesFolder());
}

/** @internal Like `clusterNames`, for another folder. */
export async function namesIn(folder: string): Promise<ClusterNodeEntry[]> {
  const isUnsafe = ownFolderFault(dirname(folder)) !== undefined || ownFolderFault(folder) !== undefined;
  if (process.getuid === undefined || isUnsafe) return [];
  const entries = await entriesOf(folder);
  return entries.sort(
    (a, b) => a.name.localeCompare(b.name) || a.cluster.localeCompare(b.cluster) || a.since - b.since,
  );
}

async function entriesOf(folder: string): Promise<ClusterNodeEntry[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
    // The folder was removed. Other errors must not look like an empty list.
    if (error.code === "ENOENT") return [];
    throw cannotRead(folder, error);
  });
  const waiting = names.flatMap((name) => /^([0-9a-f]{16})\.sock$/.exec(name)?.[1] ?? []).slice(0, 16_384);
  const entries: ClusterNodeEntry[] = [];
  const next = async (): Promise<void> => {
    for (let key = waiting.shift(); key !== undefined && entries.length < 1_024; key = waiting.shift()) {
      const entry = await entryOf(folder, key);
      if (entry !== undefined) entries.push(entry);
    }
  };
  await Promise.all(Array.from({ length: 16 }, next));
  return entries;
}

async function entryOf(folder: string, key: string): Promise<ClusterNodeEntry | undefined> {
  const path = join(folder, `${key}.sock`);
  const { text, code } = await ask(path);
  if (code === "ECONNREFUSED") {
    // The killed node's default control socket, next to the folder, is unused, too (cli/node-service.ts).
    if (await isOld(path))
      for (const each of [path, join(folder, "..", `${key.slice(0, 12)}.sock`)])
        await rm(each, { force: true }).catch(ignore); // The next reader tries again.
  } else if (code === "EMFILE" || code === "ENFILE")
    throw cannotRead(path, Object.assign(new Error("no more files can be opened"), { code }));
  return parse(text, key);
}

/** @returns the answer, or a part of it; and the system's code if the connection failed */
function ask(path: string): Promise<{ readonly text: string; readonly code?: string | undefined }> {
  return new Promise((resolve) => {
    const socket = createConnection(path).setEncoding("utf8");
    let text = "";
    const end = (code?: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ text, code });
    };
    const timer = setTimeout(end, 1_000);
    socket.on("data", (piece: string) => {
      text += piece;
      if (text.length <= 4_096) return;
      text = "";
      end();
    });
    socket.once("end", () => end());
    socket.once("error", ({ code }: NodeJS.ErrnoException) => end(code));
  });
}

/** A younger socket that refuses connections may be of a starting node. */
async function isOld(path: string): Promise<boolean> {
  try {
    return Math.abs(Date.now() - (await lstat(path)).mtimeMs) > 10_000;
  } catch {
    return false; // Another process removed it.
  }
}

function cannotRead(path: string, cause: NodeJS.ErrnoException): TransportError {
  const code = cause.code === "EMFILE" || cause.code === "ENFILE" ? "EMFILE" : "ERR_TRANSPORT";
  return new TransportError(code, `cannot read ${path}: ${cause.message}`, { cause });
}

/** The folder is this user's, so an answer with the right id is a node's. `undefined` for another, or a part of one. */
function parse(text: string, key: string): ClusterNodeEntry | undefined {
  try {
    const entry = JSON.parse(text) as ClusterNodeEntry | null;
    if (typeof entry?.name !== "string" || !Array.isArray(entry.control)) return undefined;
    return entry.id.startsWith(key) ? entry : undefined;
  } catch {
    return undefined; // Of something else, or incomplete.
  }
}
