/**
 * A program's own HTTP server as something to bind to: sockets take the upgrades at their paths, and the server keeps the
 * rest. An engine gets a name for it, since its endpoints are text; a program cannot write that name.
 */
import type { Server as HttpServer } from "node:http";
import type { Server as HttpsServer } from "node:https";
import { quoted } from "../arguments.js";
import { InvalidArgumentError } from "../errors.js";
import { checkEndpoint } from "./schemes.js";
import { parseWs } from "./ws.js";

/** What `bind` takes in place of an endpoint: WebSocket upgrades at a path of a program's own HTTP server. */
export interface HttpServerEndpoint {
  /** Of `node:http` or `node:https`; it listens, and ends, as the program wants. */
  readonly server: HttpServer | HttpsServer;
  /** Begins with `/`. Default `/`. */
  readonly path?: string;
}

const PREFIX = "ws:// server ";

const ids = new WeakMap<object, number>();
const servers = new Map<number, WeakRef<HttpServer | HttpsServer>>();
const collected = new FinalizationRegistry<number>((id) => void servers.delete(id));
let last = 0;

/**
 * The name of a server and a path.
 *
 * @param transports what the engine can do
 * @throws InvalidArgumentError, and TransportError `EPROTONOSUPPORT`, as for an endpoint
 */
export function nameOfServer(given: unknown, transports: readonly string[]): string {
  const { server, path = "/", ...rest } = given as { server?: unknown; path?: unknown };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined)
    throw new InvalidArgumentError(`bind takes { server, path }; got ${quoted(unknown)}, too`);
  if (!isServer(server))
    throw new InvalidArgumentError("bind({ server, path }): server is a Server of node:http or node:https");
  if (typeof path !== "string" || !path.startsWith("/"))
    throw new InvalidArgumentError(
      `bind({ server, path }): path is text that begins with "/"; got ${String(path)}`,
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

/** The server and the path of such a name; `undefined`: it is an endpoint. */
export function serverOf(
  endpoint: string,
): { readonly server: HttpServer | HttpsServer; readonly path: string } | undefined {
  if (!endpoint.startsWith(PREFIX)) return undefined;
  const { authority, path } = parseWs(endpoint);
  const server = servers.get(Number(authority.slice(" server ".length)))?.deref();
  return server === undefined ? undefined : { server, path };
}
