/**
 * Binding to the program's HTTP server. Engines know endpoints as text, so each server gets an internal name.
 */
import type { Server as HttpServer } from "node:http";
import type { Server as HttpsServer } from "node:https";
import { quoted } from "../arguments.js";
import { InvalidArgumentError } from "../errors.js";
import { checkEndpoint } from "./schemes.js";
import { parseWs } from "./ws.js";

/** Argument of `bind` for WebSocket upgrades at a path of the program's HTTP server. */
export interface HttpServerEndpoint {
  /** A server of `node:http` or `node:https`; the program starts and closes it. */
  readonly server: HttpServer | HttpsServer;
  /** Begins with `/`. Default `/`. */
  readonly path?: string;
}

const PREFIX = "ws:// server ";

const ids = new WeakMap<object, number>();
const servers = new Map<number, WeakRef<HttpServer | HttpsServer>>();
const collected = new FinalizationRegistry<number>((id) => void servers.delete(id));
let last = 0;

/** @throws InvalidArgumentError; TransportError `EPROTONOSUPPORT` */
export function nameOfServer(given: unknown, transports: readonly string[]): string {
  if (Array.isArray(given)) checkEndpoint(given, "bind", transports); // As any other value.
  const { server, path = "/", ...rest } = given as { server?: unknown; path?: unknown };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined)
    throw new InvalidArgumentError(`bind takes { server, path }; got ${quoted(unknown)}, too`);
  if (!isServer(server))
    throw new InvalidArgumentError(
      "bind({ server, path }): server must be a Server of node:http or node:https",
    );
  if (typeof path !== "string" || !path.startsWith("/"))
    throw new InvalidArgumentError(
      `bind({ server, path }): path must be text that begins with "/"; got ${String(path)}`,
    );
  checkEndpoint(`ws://127.0.0.1:1${path}`, "bind", transports);
  let id = ids.get(server);
  if (id === undefined) {
    id = ++last;
    ids.set(server, id);
    servers.set(id, new WeakRef(server));
    collected.register(server, id);
  }
  return `${PREFIX}${id}${path}`;
}

function isServer(value: unknown): value is HttpServer | HttpsServer {
  const server = value as Partial<HttpServer> | null | undefined;
  return (
    typeof server === "object" && typeof server?.on === "function" && typeof server.address === "function"
  );
}

export function serverOf(
  endpoint: string,
): { readonly server: HttpServer | HttpsServer; readonly path: string } | undefined {
  if (!endpoint.startsWith(PREFIX)) return undefined;
  const { authority, path } = parseWs(endpoint);
  const server = servers.get(Number(authority.slice(" server ".length)))?.deref();
  return server === undefined ? undefined : { server, path };
}
