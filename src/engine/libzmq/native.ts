/** The used part of the npm package `zeromq`. */

import { createRequire } from "node:module";
import { join } from "node:path";
import { NotSupportedError } from "../../core/errors.js";
import { requireHere } from "../../core/require-here.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { OutgoingMessage } from "../engine.js";

export interface NativeSocket {
  bindSync(address: string): void;
  connect(address: string, options?: { routingId?: string }): void;
  disconnect(address: string): void;
  close(): void;
  send(message: OutgoingMessage | readonly []): Promise<void>;
  receive(): Promise<Buffer[]>;
  subscribe(prefix: Uint8Array | string): void;
  unsubscribe(prefix: Uint8Array | string): void;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly lastEndpoint: string | null;
  readonly closed: boolean;
  sendTimeout: number;
  receiveTimeout: number;
  linger: number;
}

export interface NativeEvent {
  readonly type: string;
  readonly address?: string;
  readonly interval?: number;
  readonly error?: NodeJS.ErrnoException & { readonly status?: number };
}

export interface NativeObserver {
  receive(): Promise<NativeEvent>;
  close(): void;
}

export interface NativeContext {
  maxSockets: number;
  readonly maxSocketsLimit: number;
}

export interface NativeSocketClass {
  new (options: Record<string, unknown>): NativeSocket;
  readonly prototype: NativeSocket;
}

export interface Native extends Readonly<Partial<Record<SocketTypeName, NativeSocketClass>>> {
  readonly version: string;
  readonly capability: Readonly<Record<string, boolean>>;
  readonly context: NativeContext;
  readonly Context: new (options?: Record<string, unknown>) => NativeContext;
  readonly Observer: new (socket: NativeSocket) => NativeObserver;
  readonly Router: NativeSocketClass;
}

/** @throws NotSupportedError `NOT_SUPPORTED` for a draft type */
export function nativeClassOf(native: Native, type: SocketTypeName): NativeSocketClass {
  const found = native[type];
  if (found === undefined)
    throw new NotSupportedError(`The libzmq engine has no draft type ${type}; the zmtp engine has it`);
  return found;
}

let loaded: Native | undefined;

/** Strict package managers hide packages that are not dependencies. */
function requirePackage(id: string): unknown {
  try {
    return requireHere()(id);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    return createRequire(join(process.cwd(), "package.json"))(id);
  }
}

/** @throws NotSupportedError `ERR_ENGINE_UNAVAILABLE` if the package does not load, and on Bun and Deno */
export function loadNative(require: (id: string) => unknown = requirePackage): Native {
  if (loaded !== undefined) return loaded;
  const runtime =
    process.versions.bun !== undefined ? "Bun" : process.versions.deno !== undefined ? "Deno" : undefined;
  if (runtime !== undefined) {
    throw new NotSupportedError(
      `The libzmq engine does not run on ${runtime}: the addon of the npm package zeromq ends its process. ` +
        "Use the engine zmtp, which is the default",
      "ERR_ENGINE_UNAVAILABLE",
    );
  }
  try {
    const found = require("zeromq") as Native & { readonly shoal?: boolean };
    if (found.shoal === true) throw new Error("what is installed as zeromq is shoal-zeromq");
    loaded = found;
    return loaded;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n", 1)[0] : String(cause);
    throw new NotSupportedError(
      "The libzmq engine needs the npm package zeromq, which does not load on this machine " +
        `(${reason}). Install it with "npm install zeromq" on a platform it has binaries for, ` +
        "or choose another engine with SHOAL_ENGINE or new Context({ engine })",
      "ERR_ENGINE_UNAVAILABLE",
      { cause },
    );
  }
}
