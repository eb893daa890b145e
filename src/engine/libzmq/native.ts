/** The npm package `zeromq`: the used part of its interface, its options for shoal's, and its errors as shoal's. */
import { createRequire } from "node:module";
import { join } from "node:path";
import { isMainThread } from "node:worker_threads";
import {
  ClosedError,
  ERROR_CODES,
  type ErrorCode,
  HandshakeError,
  InvalidArgumentError,
  InvalidStateError,
  NotSupportedError,
  ProtocolError,
  type ProtocolErrorCode,
  type ShoalError,
  TransportError,
} from "../../core/errors.js";
import {
  hasOption,
  heartbeatTimeoutOf,
  OPTIONS,
  type OptionName,
  type OptionSpec,
} from "../../core/option-table.js";
import { requireHere } from "../../core/packages.js";
import { type SocketType, type SocketTypeName, socketTypeName } from "../../core/socket-type.js";
import type { EngineOptions, OutgoingMessage } from "../engine.js";

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

/** A worker thread that ends with open sockets, or a pending native read, ends the process, too ("Napi::Error"). */
function unfitPlace(): string | undefined {
  if (process.versions.bun !== undefined) return "on Bun";
  if (process.versions.deno !== undefined) return "on Deno";
  return isMainThread ? undefined : "in a worker thread";
}

/** @throws NotSupportedError `ERR_ENGINE_UNAVAILABLE` if the package does not load; on Bun, Deno and in worker threads */
export function loadNative(require: (id: string) => unknown = requirePackage): Native {
  if (loaded !== undefined) return loaded;
  const place = unfitPlace();
  if (place !== undefined) {
    throw new NotSupportedError(
      `The libzmq engine does not run ${place}: the addon of the npm package zeromq ends its process. ` +
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

/** Options that libzmq lacks, with their defaults. */
const UNSUPPORTED: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries<OptionSpec>(OPTIONS)
    .filter(([, { only }]) => only !== undefined)
    .map(([name, spec]) => [name, spec.default]),
);

export const UNSUPPORTED_OPTIONS: readonly string[] = Object.keys(UNSUPPORTED);

export function assertSupported(name: string, value: unknown): void {
  if (!Object.hasOwn(UNSUPPORTED, name) || value === undefined || value === UNSUPPORTED[name]) return;
  throw new NotSupportedError(
    `The libzmq engine cannot set the option ${name}: libzmq has none like it; the zmtp engine can`,
  );
}

const NOT_NATIVE = new Set(["sendTimeout", "receiveTimeout", "mandatory", "noDrop", ...UNSUPPORTED_OPTIONS]);

export function nativeValue(name: string, value: unknown, options: EngineOptions): unknown {
  if (name === "heartbeatTimeout")
    return heartbeatTimeoutOf({
      heartbeatInterval: Number(options.heartbeatInterval),
      heartbeatTimeout: Number(value),
    });
  return value;
}

export function optionNames(type: SocketType): OptionName[] {
  const typeName = socketTypeName(type) as SocketTypeName;
  return (Object.keys(OPTIONS) as OptionName[]).filter((name) => {
    const { local }: OptionSpec = OPTIONS[name];
    return local !== true && hasOption(typeName, name);
  });
}

/** Options have the same names in both packages. Only changed values are set: each costs a native call. */
export function nativeOptions(options: EngineOptions, type: SocketType): Record<string, unknown> {
  const chosen: Record<string, unknown> = {};
  for (const name of optionNames(type)) {
    const value = options[name];
    if (value === undefined || value === null || NOT_NATIVE.has(name)) continue;
    const actual = nativeValue(name, value, options);
    const spec: OptionSpec = OPTIONS[name];
    if (actual !== (spec.zeromqDefault ?? spec.default ?? false)) chosen[name] = actual;
  }
  return chosen;
}

export function isNativeOption(name: string): boolean {
  return !NOT_NATIVE.has(name);
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** With advice. @param doing an infinitive, such as "bind" */
export function toShoalError(cause: unknown, doing: string, endpoint?: string): ShoalError {
  const code = codeOf(cause);
  const at = endpoint === undefined ? "" : ` ${endpoint}`;
  const details = { cause, endpoint };
  switch (code) {
    case "EADDRINUSE":
      return new TransportError(code, `Cannot ${doing}${at}: the address is in use`, details);
    case "EINVAL":
      return new InvalidArgumentError(`Cannot ${doing}${at}: the engine refuses the argument`, details);
    case "EBADF":
    case "ETERM":
      return new ClosedError(code, `Cannot ${doing}${at}: the socket is closed`, details);
    case "EFSM":
      return new InvalidStateError(code, `Cannot ${doing}${at} in the socket's present state`, details);
    case "NOT_SUPPORTED":
      return new NotSupportedError(`Cannot ${doing}${at}`, code, details);
    default: {
      const known: ErrorCode = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "ERR_TRANSPORT";
      const reason = cause instanceof Error ? cause.message : String(cause);
      return new TransportError(known, `Cannot ${doing}${at}: ${reason}`, details);
    }
  }
}

/** @throws as `toShoalError` */
export function calling<T>(call: () => T, doing: string, endpoint?: string): T {
  try {
    return call();
  } catch (error) {
    throw toShoalError(error, doing, endpoint);
  }
}

export function eventError(event: NativeEvent): ShoalError {
  const endpoint = event.address;
  const cause = event.error;
  const reason = cause?.message ?? "no detail";
  switch (event.type) {
    case "handshake:error:auth":
      return new HandshakeError(
        "ERR_AUTHENTICATION",
        `Handshake at ${endpoint} failed: authentication failed (status ${cause?.status ?? "unknown"})`,
        {
          cause,
          endpoint,
          status: cause?.status ?? 400,
        },
      );
    case "handshake:error:protocol": {
      const code = codeOf(cause);
      const known = Object.hasOwn(ERROR_CODES, code) ? (code as ProtocolErrorCode) : "ERR_PROTOCOL";
      return new ProtocolError(`Handshake failed: ${code}`, known, { cause, endpoint });
    }
    case "handshake:error:other":
      return new HandshakeError("ERR_HANDSHAKE", `Handshake failed: ${reason}`, { cause, endpoint });
    default:
      return toShoalError(cause, event.type.split(":", 1)[0] ?? "use", endpoint);
  }
}
