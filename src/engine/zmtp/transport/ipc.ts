/**
 * Unix domain sockets: paths, `*` for a temporary path, and Linux's abstract names (`@NAME`, which exist only as long as
 * their socket).
 *
 * A killed process leaves its path behind. Shoal takes such a path over only without a listener, and in one process only
 * (ipc-path.ts), so that no endpoint is stolen.
 */
import { mkdtempSync, rmdirSync } from "node:fs";
import { connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { TransportError } from "../../../core/errors.js";
import { addressOf } from "../../../core/schemes/scheme.js";
import { disown, MAX_PATH, own, takePath } from "./ipc-path.js";
import { answered, answeredSync } from "./ipc-probe.js";
import { KernelStream } from "./kernel-stream.js";
import { Reader } from "./reader.js";
import { bindError, closeServer, listen, listenSync, makeServer } from "./server.js";
import type { Acceptor, Listener, Transport } from "./transport.js";

/** libuv's address family for a path. */
const PIPE_FAMILY = -1;

/**
 * libuv before 1.48 (Node.js 20) pads abstract names with zeros to the length of the whole field, and Node.js
 * has no alternative. Only programs with such padding reach each other.
 */
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

/** Resolves a wildcard. @returns the endpoint, and the folder created for it */
function resolve(endpoint: string): { endpoint: string; folder: string | undefined } {
  if (endpoint !== "ipc://*") return { endpoint, folder: undefined };
  const folder = mkdtempSync(join(tmpdir(), "shoal-"));
  return { endpoint: `ipc://${join(folder, "socket")}`, folder };
}

function forgetFolder(folder: string | undefined): void {
  if (folder === undefined) return;
  try {
    rmdirSync(folder);
  } catch {
    // The program needs the error of the bind instead.
  }
}

/** Closed until the listener has its path: earlier connections are probes of other processes. */
interface Gate {
  open: boolean;
}

function server(endpoint: string, acceptor: Acceptor, gate: Gate): Server {
  return makeServer(endpoint, acceptor, (socket, reader) => {
    if (!gate.open) socket.destroy();
    else acceptor.accepted(new KernelStream(socket, reader, endpoint, addressOf(endpoint)));
  });
}

/** @param folder created for `path` alone @param path owned by this listener */
function listener(
  made: Server,
  endpoint: string,
  folder: string | undefined,
  path: string | undefined,
): Listener {
  if (path !== undefined) own(path, folder);
  return {
    endpoint,
    async close() {
      // Before closing: a path without a listener could be taken over meanwhile.
      if (path !== undefined) disown(path);
      await closeServer(made);
    },
  };
}

/**
 * Whether other processes may want the path. The system itself arbitrates abstract names, and refuses too long
 * paths.
 */
function mayBeContested(path: string): boolean {
  return !path.startsWith("\0") && process.platform !== "win32" && Buffer.byteLength(path) <= MAX_PATH;
}

/** @returns an unused name in the same folder, within the system's limit */
function nameBeside(path: string): string {
  const folder = dirname(path);
  const room = MAX_PATH - Buffer.byteLength(folder) - "/.".length;
  const random = Math.random().toString(36).slice(2, 12).padEnd(10, "0");
  return join(folder, `.${random.slice(0, Math.max(1, room))}`);
}

function inUse(endpoint: string): TransportError {
  return new TransportError("EADDRINUSE", `Cannot bind ${endpoint}: the address is in use`, { endpoint });
}

export const ipc: Transport = {
  scheme: "ipc",

  async listen(given, options, acceptor) {
    const { endpoint, folder } = resolve(given);
    const path = pathOf(endpoint);
    const { backlog } = options;
    const gate = { open: folder !== undefined || !mayBeContested(path) };
    const made = server(endpoint, acceptor, gate);
    if (gate.open) {
      try {
        await listen(made, { path, backlog }, endpoint);
      } catch (error) {
        forgetFolder(folder);
        throw error;
      }
      return listener(made, endpoint, folder, folder === undefined ? undefined : path);
    }
    const aside = nameBeside(path);
    await listen(made, { path: aside, backlog }, endpoint);
    try {
      gate.open = await answered(takePath(path, aside));
      if (gate.open) return listener(made, endpoint, undefined, path);
    } catch (error) {
      await closeServer(made);
      throw bindError(error as Error, endpoint, path);
    }
    await closeServer(made);
    throw inUse(endpoint);
  },

  listenSync(given, options, acceptor) {
    const { endpoint, folder } = resolve(given);
    const path = pathOf(endpoint);
    const gate = { open: folder !== undefined || !mayBeContested(path) };
    const made = server(endpoint, acceptor, gate);
    if (gate.open) {
      try {
        listenSync(made, path, -1, PIPE_FAMILY, options.backlog, endpoint);
      } catch (error) {
        forgetFolder(folder);
        throw error;
      }
      return listener(made, endpoint, folder, folder === undefined ? undefined : path);
    }
    const aside = nameBeside(path);
    listenSync(made, aside, -1, PIPE_FAMILY, options.backlog, endpoint);
    try {
      gate.open = answeredSync(takePath(path, aside));
      if (gate.open) return listener(made, endpoint, undefined, path);
    } catch (error) {
      void closeServer(made);
      throw bindError(error as Error, endpoint, path);
    }
    void closeServer(made);
    throw inUse(endpoint);
  },

  dial(endpoint, options, done) {
    const reader = new Reader();
    const socket = connect({ path: pathOf(endpoint), onread: reader.onread });
    socket.unref();
    let timer: NodeJS.Timeout | undefined;
    const failed = (error: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      done(error);
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      done(new KernelStream(socket, reader, endpoint, addressOf(endpoint)));
    });
    if (options.connectTimeout > 0) {
      timer = setTimeout(() => {
        socket.off("error", failed);
        socket.on("error", () => undefined);
        failed(new Error(`no connection within ${options.connectTimeout} ms (connectTimeout)`));
      }, options.connectTimeout).unref();
    }
    return () => {
      clearTimeout(timer);
      socket.off("error", failed);
      socket.on("error", () => undefined);
      socket.destroy();
    };
  },
};
