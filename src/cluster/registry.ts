/**
 * Registry of the nodes that run on this host, by files.
 *
 *   SHOAL_RUNTIME_DIR/nodes; without that variable XDG_RUNTIME_DIR/shoal/nodes, /run/user/UID/shoal/nodes, or TMPDIR/shoal-UID/nodes
 *     ID.json   name, cluster, address, process       ID.sock   a socket that the node listens on
 *
 * ID is the first half of the node's id. A node runs while its socket accepts connections, also when stopped (SIGSTOP).
 * The socket of a killed process refuses them, and the next reader removes its files.
 *
 * A folder that is a link, belongs to another user or is writable for others is not used. A file that is a link, too
 * long or invalid is ignored.
 */
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import { InvalidArgumentError, InvalidStateError, TransportError } from "../core/errors.js";
import { MAX_ADDRESS, MAX_BUS_NAME } from "./bounds.js";
import { isId, isName } from "./identity.js";
import { isListenedAt } from "./listened-at.js";

const MAX_REGISTERED = 1_024;
const MAX_LOOKED_AT = 16_384;
const MAX_RECORD = 4_096;
const TRIES_AT_A_TIME = 16;
/** A partly written file, or a socket without a file, may belong to a starting node. */
const STARTING = 10_000;
/** Bytes that every system accepts. */
const MAX_SOCKET_PATH = 103;
const MAX_CONTROL = 8;
const MAX_CONTROL_ENDPOINT = 256;

const FILE = /^([0-9a-f]{16})\.(json|sock)$/;
const CONTROL = /^[0-9a-f]{12}\.sock$/;
const PART = /^\.[0-9a-f]{16}\.part$/;

export interface ClusterNodeEntry {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** `name@host`. */
  readonly name: string;
  /** Name of its cluster. */
  readonly group: string;
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
  if (!Array.isArray(endpoints) || !areControl(endpoints))
    throw new InvalidArgumentError(
      `control endpoints must be at most ${MAX_CONTROL} texts of at most ${MAX_CONTROL_ENDPOINT} characters`,
    );
  return [...endpoints];
}

function isPlain(text: unknown, most: number): text is string {
  return typeof text === "string" && text.length <= most && !/\p{C}/u.test(text);
}

function areControl(endpoints: readonly unknown[]): boolean {
  return endpoints.length <= MAX_CONTROL && endpoints.every((each) => isPlain(each, MAX_CONTROL_ENDPOINT));
}

/** @internal Folders in which nodes of this user may be; a node registers in the first possible one. */
export function foldersOf(env: NodeJS.ProcessEnv): string[] {
  const uid = process.getuid?.();
  // No folder is safe without file owners, so a system without user ids has no registry.
  if (uid === undefined) return [];
  const own = env.SHOAL_RUNTIME_DIR ?? "";
  if (isAbsolute(own)) return [join(own, "nodes")];
  const runtime = env.XDG_RUNTIME_DIR ?? "";
  const folders = [`/run/user/${uid}/shoal/nodes`, join(tmpdir(), `shoal-${uid}`, "nodes")];
  if (isAbsolute(runtime)) folders.unshift(join(runtime, "shoal", "nodes"));
  return [...new Set(folders)];
}

async function isOwn(folder: string): Promise<boolean> {
  try {
    const stat = await lstat(folder);
    return stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0;
  } catch {
    return false; // Missing or unreadable.
  }
}

async function isSafe(folder: string): Promise<boolean> {
  return (await isOwn(folder)) && (await isOwn(join(folder, "..")));
}

/** Creates the folder and its parent with mode 700, if missing. @returns whether it is safe to use */
async function makeFolder(folder: string): Promise<boolean> {
  const above = join(folder, "..");
  for (const each of [above, folder]) {
    try {
      await mkdir(each, { mode: 0o700 });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A full disk may have room later. After other errors the next folder is tried.
      if (code === "ENOSPC" || code === "EDQUOT") throw error;
      if (code !== "EEXIST") return false;
    }
    if (!(await isOwn(each))) return false;
  }
  return true;
}

/** Maintained by node/registrar.ts. */
export class Registration {
  readonly #folder: string;
  readonly #key: string;
  readonly #server: Server;
  /** Inode of the socket's file: another file of that name is not this node's. */
  readonly #inode: number;
  #closed = false;

  private constructor(folder: string, key: string, server: Server, inode: number) {
    this.#folder = folder;
    this.#key = key;
    this.#server = server;
    this.#inode = inode;
  }

  /**
   * Registers a node in the first possible folder.
   *
   * @throws InvalidStateError `EFSM` if no folder is safe to use; the system's errors
   */
  static async open(
    entry: ClusterNodeEntry,
    folders: readonly string[] = foldersOf(process.env),
  ): Promise<Registration> {
    let failure: { readonly error: unknown } | undefined;
    for (const folder of folders) {
      const path = join(folder, `${entry.id.slice(0, 16)}.sock`);
      try {
        if (Buffer.byteLength(path) > MAX_SOCKET_PATH || !(await makeFolder(folder))) continue;
        return await Registration.#openIn(folder, path, entry);
      } catch (error) {
        // This folder's disk may be full, and the next one's not.
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
    throw new InvalidStateError("EFSM", "this user has no folder to register nodes in");
  }

  static async #openIn(folder: string, path: string, entry: ClusterNodeEntry): Promise<Registration> {
    const server = createServer((socket) => void socket.on("error", () => undefined).destroy());
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, exclusive: true }, resolve);
    });
    // A connection that could not be accepted does not end the socket.
    server.on("error", () => undefined);
    server.unref();
    try {
      await chmod(path, 0o600);
      const registration = new Registration(folder, entry.id.slice(0, 16), server, (await lstat(path)).ino);
      await registration.write(entry);
      return registration;
    } catch (error) {
      await closed(server);
      throw error;
    }
  }

  get #file(): string {
    return join(this.#folder, `${this.#key}.json`);
  }

  /** The folder may have been removed or replaced. */
  async hasSocket(): Promise<boolean> {
    if (!(await isSafe(this.#folder))) return false;
    return (await inodeOf(join(this.#folder, `${this.#key}.sock`))) === this.#inode;
  }

  /** Programs that clean temporary folders may remove the file. */
  async hasFile(): Promise<boolean> {
    return (await inodeOf(this.#file)) !== undefined;
  }

  /** Must not be called while an earlier call runs. @throws the system's errors */
  async write(entry: ClusterNodeEntry): Promise<void> {
    if (this.#closed) return;
    // Renaming lets readers see the file before or after the change.
    const part = join(this.#folder, `.${this.#key}.part`);
    await rm(part, { force: true });
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    const handle = await open(part, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      await handle.writeFile(JSON.stringify(entry));
    } catch (error) {
      // Half a file is useless, and takes room on a full disk.
      await rm(part, { force: true }).catch(() => undefined); // The first error is thrown.
      throw error;
    } finally {
      await handle.close();
    }
    await rename(part, this.#file);
  }

  /** Removes the node. Never rejects: the next reader removes what stays. */
  async close(): Promise<void> {
    this.#closed = true;
    // A replaced folder has nothing of this node.
    if (await isSafe(this.#folder)) await rm(this.#file, { force: true }).catch(() => undefined); // The next reader removes it.
    // Closing removes the socket's file.
    await closed(this.#server);
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).ino;
  } catch {
    return undefined; // The node cannot be found there, whatever the reason.
  }
}

/**
 * Returns the nodes of this user that run on this host, ordered by name, without those started with `registry: false`.
 * Removes files of killed nodes.
 *
 * @returns at most 1,024 of each folder; none on a system without user ids
 * @throws TransportError `EMFILE` if the process may open no more files; `ERR_TRANSPORT` if a folder cannot be read
 */
export function clusterNames(): Promise<ClusterNodeEntry[]> {
  return namesIn(foldersOf(process.env));
}

/** @internal Like `clusterNames`, for other folders. */
export async function namesIn(folders: readonly string[]): Promise<ClusterNodeEntry[]> {
  const found = new Map<string, ClusterNodeEntry>();
  for (const folder of folders) {
    if (!(await isSafe(folder))) continue;
    for (const entry of await entriesOf(folder)) found.set(entry.id, entry);
  }
  return [...found.values()].sort(
    (a, b) => compare(a.name, b.name) || compare(a.group, b.group) || a.since - b.since,
  );
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

async function entriesOf(folder: string): Promise<ClusterNodeEntry[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
    // The folder was removed. Other errors must not look like an empty list.
    if (error.code === "ENOENT") return [];
    throw cannotRead(folder, error);
  });
  const keys = new Set<string>();
  for (const name of names) {
    const key = FILE.exec(name)?.[1];
    if (key !== undefined && keys.size < MAX_LOOKED_AT) keys.add(key);
    else if (PART.test(name)) await removeOld(join(folder, name));
  }
  const waiting = [...keys];
  const entries: ClusterNodeEntry[] = [];
  await Promise.all(
    Array.from({ length: TRIES_AT_A_TIME }, async () => {
      for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) {
        const entry = await entryOf(folder, key);
        if (entry !== undefined) entries.push(entry);
        if (entries.length >= MAX_REGISTERED) return;
      }
    }),
  );
  return entries.slice(0, MAX_REGISTERED);
}

async function entryOf(folder: string, key: string): Promise<ClusterNodeEntry | undefined> {
  const file = join(folder, `${key}.json`);
  const socket = join(folder, `${key}.sock`);
  if (await isListenedAt(socket)) {
    const entry = await read(file);
    return entry?.id.startsWith(key) ? entry : undefined;
  }
  // The killed node's control sockets next to this folder are unused, too.
  const above = `ipc://${join(folder, "..")}/`;
  for (const endpoint of (await read(file))?.control ?? [])
    if (endpoint.startsWith(above) && CONTROL.test(endpoint.slice(above.length)))
      await rm(endpoint.slice("ipc://".length), { force: true }).catch(() => undefined); // The next reader tries again.
  // A starting node has its socket first, and removes it last: without a socket, the file is unused.
  await rm(file, { force: true }).catch(() => undefined); // The next reader tries again.
  await removeOld(socket);
  return undefined;
}

/** Removes a file, unless a starting node may be writing it. */
async function removeOld(path: string): Promise<void> {
  try {
    const { mtimeMs, isDirectory } = await lstat(path).then((stat) => ({
      mtimeMs: stat.mtimeMs,
      isDirectory: stat.isDirectory(),
    }));
    if (!isDirectory && Math.abs(Date.now() - mtimeMs) > STARTING) await rm(path, { force: true });
  } catch {
    // Another process removed it.
  }
}

/** `undefined` if the file is invalid. */
async function read(path: string): Promise<ClusterNodeEntry | undefined> {
  try {
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stat = await handle.stat();
      if (!stat.isFile() || stat.size > MAX_RECORD || stat.uid !== process.getuid?.()) return undefined;
      const bytes = Buffer.alloc(MAX_RECORD);
      const { bytesRead } = await handle.read(bytes, 0, MAX_RECORD, 0);
      return parse(bytes.toString("utf8", 0, bytesRead));
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isOutOfFiles(error)) throw cannotRead(path, error as Error);
    return undefined;
  }
}

function isOutOfFiles(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "EMFILE" || code === "ENFILE";
}

function cannotRead(path: string, cause: Error): TransportError {
  const code = isOutOfFiles(cause) ? "EMFILE" : "ERR_TRANSPORT";
  return new TransportError(code, `cannot read ${path}: ${cause.message}`, { cause });
}

/** @throws SyntaxError */
function parse(text: string): ClusterNodeEntry | undefined {
  const value = JSON.parse(text) as Record<string, unknown> | null;
  if (typeof value !== "object" || value === null) return undefined;
  const { id, name, group, address, port, pid, since, control } = value;
  if (typeof id !== "string" || !isId(id) || typeof name !== "string" || !isName(name)) return undefined;
  if (!isPlain(group, MAX_BUS_NAME) || !isPlain(address, MAX_ADDRESS)) return undefined;
  if (![port, pid, since].every((each) => Number.isSafeInteger(each) && (each as number) > 0))
    return undefined;
  if (!Array.isArray(control) || !areControl(control)) return undefined;
  return Object.freeze({
    id,
    name,
    group,
    address,
    port: port as number,
    pid: pid as number,
    since: since as number,
    control: Object.freeze([...(control as string[])]),
  });
}
