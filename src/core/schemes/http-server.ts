/** Binding to the program's HTTP server. */
import type { Server as HttpServer } from "node:http";
import type { Server as HttpsServer } from "node:https";
import { checkKeys, invalidArgument } from "../arguments.js";
import { InvalidArgumentError } from "../errors.js";

/** Argument of `bind` for WebSocket upgrades at a path of the program's HTTP server. */
export interface HttpServerEndpoint {
  /** A server of `node:http` or `node:https`; the program starts and closes it. */
  readonly server: HttpServer | HttpsServer;
  /** Begins with `/`. Default `/`. */
  readonly path?: string;
}

/**
 * @param check throws for an endpoint that cannot be bound
 * @returns the server, and an endpoint with its path, for engines
 * @throws InvalidArgumentError, or what `check` throws
 */
export function checkServer(
  given: unknown,
  check: (endpoint: unknown) => void,
): { readonly server: HttpServer | HttpsServer; readonly endpoint: string } {
  if (Array.isArray(given)) check(given); // As any other value.
  checkKeys("bind", given as object, ["server", "path"]);
  const { server, path = "/" } = given as { server?: unknown; path?: unknown };
  if (!isServer(server))
    throw invalidArgument(
      "bind({ server, path }): server must be a Server of node:http or node:https",
      server,
    );
  if (typeof path !== "string" || !path.startsWith("/"))
    throw new InvalidArgumentError(
      `bind({ server, path }): path must be text that begins with "/"; got ${String(path)}`,
    );
  check(`ws://127.0.0.1:1${path}`);
  return { server, endpoint: `ws://server${path}` };
}

function isServer(value: unknown): value is HttpServer | HttpsServer {
  const server = value as Partial<HttpServer> | null | undefined;
  return (
    typeof server === "object" && typeof server?.on === "function" && typeof server.address === "function"
  );
}
