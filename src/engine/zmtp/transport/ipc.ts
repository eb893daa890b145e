/**
 * Unix domain sockets: paths, `*` for a temporary one, and Linux's abstract names
 * (`@NAME`, which exist only while a socket has them).
 *
 * A path that a process was killed on is left behind. It is taken over only when
 * nobody answers there: another process's endpoint is never stolen.
 */
import { lstatSync, mkdtempSync, readFileSync, rmdirSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TransportError } from "../../../core/errors.js";
import { Reader } from "./reader.js";
import { closeServer, listen, listenSync, makeServer } from "./server.js";
import type { Acceptor, Listener, Transport } from "./transport.js";

/** libuv's family for what is no IP address. */
const PIPE_FAMILY = -1;

/**
 * An abstract name has no end but its length, and libuv before 1.48 (Node.js 20) gives it the length of the whole
 * field: it fills the rest with zeros. Those who do so reach each other, and nobody else; Node.js has no other way.
 */
const PADS_ABSTRACT_NAMES = /^1\.([0-3]?[0-9]|4[0-7])\./.test(process.versions.uv ?? "");
let warned = false;

/** The system's name for what follows `ipc://`. */
function pathOf(endpoint: string): string {
  const name = endpoint.slice("ipc://".length);
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

/** Fills in a wildcard. @returns the endpoint, and the folder that was made for it */
function resolve(endpoint: string): { endpoint: string; folder: string | undefined } {
  if (endpoint !== "ipc://*") return { endpoint, folder: undefined };
  const folder = mkdtempSync(join(tmpdir(), "shoal-"));
  return { endpoint: `ipc://${join(folder, "socket")}`, folder };
}

function server(endpoint: string, acceptor: Acceptor): Server {
  return makeServer(endpoint, acceptor, (socket, reader) => {
    acceptor.accepted({ socket, reader, remote: endpoint, address: endpoint.slice("ipc://".length) });
  });
}

function listener(made: Server, endpoint: string, folder: string | undefined): Listener {
  return {
    endpoint,
    async close() {
      await closeServer(made);
      if (folder !== undefined) {
        try {
          rmdirSync(folder);
        } catch {
          // Somebody put something there: it is theirs now.
        }
      }
    },
  };
}

function isInUse(error: unknown): boolean {
  return (error as TransportError).code === "EADDRINUSE";
}

/** Whether the path may be taken over, if nobody listens there: anything but a socket is somebody's file. */
function isSocket(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

/** Whether somebody accepts at the path. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}

/** The same without waiting, where the system has a list; elsewhere the cautious answer. */
function isBound(path: string): boolean {
  try {
    const names = readFileSync("/proc/net/unix", "latin1");
    return names.split("\n").some((line) => line.endsWith(` ${Buffer.from(path).toString("latin1")}`));
  } catch {
    return true;
  }
}

export const ipc: Transport = {
  scheme: "ipc",

  async listen(given, options, acceptor) {
    const { endpoint, folder } = resolve(given);
    const path = pathOf(endpoint);
    const { backlog } = options;
    let made = server(endpoint, acceptor);
    try {
      await listen(made, { path, backlog }, endpoint);
    } catch (error) {
      if (!isInUse(error) || path.startsWith("\0") || !isSocket(path) || (await answers(path))) throw error;
      unlinkSync(path);
      made = server(endpoint, acceptor);
      await listen(made, { path, backlog }, endpoint);
    }
    return listener(made, endpoint, folder);
  },

  listenSync(given, options, acceptor) {
    const { endpoint, folder } = resolve(given);
    const path = pathOf(endpoint);
    const attempt = (): Server => {
      const made = server(endpoint, acceptor);
      listenSync(made, path, -1, PIPE_FAMILY, options.backlog, endpoint);
      return made;
    };
    try {
      return listener(attempt(), endpoint, folder);
    } catch (error) {
      if (!isInUse(error) || path.startsWith("\0") || !isSocket(path) || isBound(path)) throw error;
    }
    unlinkSync(path);
    return listener(attempt(), endpoint, folder);
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
      done({ socket, reader, remote: endpoint, address: endpoint.slice("ipc://".length) });
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
