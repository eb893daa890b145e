/**
 * The nodes that run on this host, by files: no daemon, no port.
 *
 *   SHOAL_RUNTIME_DIR/nodes; without that variable XDG_RUNTIME_DIR/shoal/nodes, /run/user/UID/shoal/nodes, or TMPDIR/shoal-UID/nodes
 *     ID.json   name, cluster, address, process       ID.sock   a socket that the node listens on
 *
 * A node runs as long as its socket takes connections: that of a killed process refuses them, whatever process has its number now, and
 * its files are removed by the next one who looks. A node that is stopped (SIGSTOP) still has its socket. ID is the first half of the id.
 *
 * Nobody else can write there. A folder that belongs to another user, that others may write, or that is a link is not used at all; a file
 * that is a link, too long or not as it should be is left alone and not shown.
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

/** Nodes of a folder that are shown; files of nodes, those of killed ones included, that are looked at. */
const MAX_REGISTERED = 1_024;
const MAX_LOOKED_AT = 16_384;
/** Bytes of a node's file. */
const MAX_RECORD = 4_096;
/** Nodes whose sockets are tried at a time. */
const TRIES_AT_A_TIME = 16;
/** ms for which a file that a node was writing, or a socket without a file, may be of a node that starts. */
const STARTING = 10_000;
/** Bytes of a socket's path that every system takes. */
const MAX_SOCKET_PATH = 103;
/** Control endpoints of a node, and bytes of one. */
const MAX_CONTROL = 8;
const MAX_CONTROL_ENDPOINT = 256;

const FILE = /^([0-9a-f]{16})\.(json|sock)$/;
/** A control socket of `shoal node start`. */
const CONTROL = /^[0-9a-f]{12}\.sock$/;
const PART = /^\.[0-9a-f]{16}\.part$/;

/** A node that runs on this host. */
export interface ClusterNodeEntry {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** `name@host`. */
  readonly name: string;
  /** Name of its cluster. */
  readonly group: string;
  /** Where others reach it, "host:port". */
  readonly address: string;
  /** Its UDP and TCP port on this host. */
  readonly port: number;
  /** Process id, as the node's own system counts. */
  readonly pid: number;
  /** Wall clock in ms when it started. */
  readonly since: number;
  /** Endpoints of its control socket. */
  readonly control: readonly string[];
}

/** @throws InvalidArgumentError `EINVAL` */
export function checkControl(endpoints: readonly string[]): readonly string[] {
  if (!Array.isArray(endpoints) || !areControl(endpoints))
    throw new InvalidArgumentError(
      `control endpoints are at most ${MAX_CONTROL} texts of at most ${MAX_CONTROL_ENDPOINT} characters`,
    );
  return [...endpoints];
}

function isPlain(text: unknown, most: number): text is string {
  return typeof text === "string" && text.length <= most && !/\p{C}/u.test(text);
}

function areControl(endpoints: readonly unknown[]): boolean {
  return endpoints.length <= MAX_CONTROL && endpoints.every((each) => isPlain(each, MAX_CONTROL_ENDPOINT));
}

/** @internal The folders in which nodes of this user may be, the one where a node registers first. */
export function foldersOf(env: NodeJS.ProcessEnv): string[] {
  const uid = process.getuid?.();
  // Nobody's folder is safe where files have no owner: a system without user ids has no registry.
  if (uid === undefined) return [];
  const own = env.SHOAL_RUNTIME_DIR ?? "";
  if (isAbsolute(own)) return [join(own, "nodes")];
  const runtime = env.XDG_RUNTIME_DIR ?? "";
  const folders = [`/run/user/${uid}/shoal/nodes`, join(tmpdir(), `shoal-${uid}`, "nodes")];
  if (isAbsolute(runtime)) folders.unshift(join(runtime, "shoal", "nodes"));
  return [...new Set(folders)];
}

/** Whether a path is a folder of this user that nobody else may write. */
async function isOwn(folder: string): Promise<boolean> {
  try {
    const stat = await lstat(folder);
    return stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0;
  } catch {
    return false; // It is not there, or cannot be looked at: it is not used.
  }
}

/** Whether a folder and the one above it are of this user alone. */
async function isSafe(folder: string): Promise<boolean> {
  return (await isOwn(folder)) && (await isOwn(join(folder, "..")));
}

/** The folder and the one above it, made where they are not there, mode 700. @returns whether it is safe to use */
async function makeFolder(folder: string): Promise<boolean> {
  const above = join(folder, "..");
  for (const each of [above, folder]) {
    try {
      await mkdir(each, { mode: 0o700 });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A disk that is full has room later; what there is no place for is looked for elsewhere.
      if (code === "ENOSPC" || code === "EDQUOT") throw error;
      if (code !== "EEXIST") return false;
    }
    if (!(await isOwn(each))) return false;
  }
  return true;
}

/** A node's place among those of this host: its socket and its file. node/registrar.ts keeps one there. */
export class Registration {
  readonly #folder: string;
  readonly #key: string;
  readonly #server: Server;
  /** Of the socket's file: another file of its name is not this node's. */
  readonly #inode: number;
  #closed = false;

  private constructor(folder: string, key: string, server: Server, inode: number) {
    this.#folder = folder;
    this.#key = key;
    this.#server = server;
    this.#inode = inode;
  }

  /**
   * Registers a node, in the first folder where that is possible.
   *
   * @throws InvalidStateError `EFSM` where there is no folder that is safe to use, and the system's errors
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
        // Its disk may be full, and that of the next one not.
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
    throw new InvalidStateError("EFSM", "there is no folder of this user to register nodes in");
  }

  static async #openIn(folder: string, path: string, entry: ClusterNodeEntry): Promise<Registration> {
    const server = createServer((socket) => void socket.on("error", () => undefined).destroy());
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path, exclusive: true }, resolve);
    });
    // Of one connection that could not be taken: the socket listens on.
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

  /** Whether its folder is still safe to use, and its socket there: someone may have removed or replaced the folder. */
  async hasSocket(): Promise<boolean> {
    if (!(await isSafe(this.#folder))) return false;
    return (await inodeOf(join(this.#folder, `${this.#key}.sock`))) === this.#inode;
  }

  /** Whether its file is there: what clears folders of old files does not know that it is in use. */
  async hasFile(): Promise<boolean> {
    return (await inodeOf(this.#file)) !== undefined;
  }

  /** What others see of the node from now on. Not to be called while it runs. @throws the system's errors */
  async write(entry: ClusterNodeEntry): Promise<void> {
    if (this.#closed) return;
    // A reader sees the file before or after the change.
    const part = join(this.#folder, `.${this.#key}.part`);
    await rm(part, { force: true });
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    const handle = await open(part, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      await handle.writeFile(JSON.stringify(entry));
    } catch (error) {
      // Half of it is of no use, and takes room where there is none.
      await rm(part, { force: true }).catch(() => undefined); // The caller has the first error.
      throw error;
    } finally {
      await handle.close();
    }
    await rename(part, this.#file);
  }

  /** Takes the node out. Settles in any case: what stays is removed by the next one who looks. */
  async close(): Promise<void> {
    this.#closed = true;
    // In a folder that was replaced, nothing is this node's.
    if (await isSafe(this.#folder)) await rm(this.#file, { force: true }).catch(() => undefined); // Removed at the next look.
    // Closing removes the socket's file.
    await closed(this.#server);
  }
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => void server.close(() => resolve()));
}

/** `undefined` where there is no such file. */
async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).ino;
  } catch {
    return undefined; // Whatever the reason, the node is not to be found by it.
  }
}

/**
 * The nodes of this user that run on this host, by name: what `shoal node names` prints. Files of nodes that were killed are removed
 * on the way. A node is there unless it was started with `registry: false`.
 *
 * @returns at most 1,024 of each folder; none on a system without user ids
 * @throws TransportError `EMFILE` where the process may open no more files; `ERR_TRANSPORT` for a folder that cannot be read
 */
export function clusterNames(): Promise<ClusterNodeEntry[]> {
  return namesIn(foldersOf(process.env));
}

/** @internal The same of other folders. */
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
    // It is gone again. Any other failure says nothing about who is there.
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
  // Its control sockets beside this folder are nobody's any more, either.
  const above = `ipc://${join(folder, "..")}/`;
  for (const endpoint of (await read(file))?.control ?? [])
    if (endpoint.startsWith(above) && CONTROL.test(endpoint.slice(above.length)))
      await rm(endpoint.slice("ipc://".length), { force: true }).catch(() => undefined); // Tried again at the next look.
  // The socket comes before the file and goes after it: one that starts has its socket already.
  await rm(file, { force: true }).catch(() => undefined); // Tried again at the next look.
  await removeOld(socket);
  return undefined;
}

/** Removes what no node is writing at this moment. */
async function removeOld(path: string): Promise<void> {
  try {
    const { mtimeMs, isDirectory } = await lstat(path).then((stat) => ({
      mtimeMs: stat.mtimeMs,
      isDirectory: stat.isDirectory(),
    }));
    if (!isDirectory && Math.abs(Date.now() - mtimeMs) > STARTING) await rm(path, { force: true });
  } catch {
    // Somebody else removed it.
  }
}

/** A node's file; `undefined` for anything else. */
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
