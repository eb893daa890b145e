/**
 * An HTTP server that strangers may reach: a slow, endless or invalid request costs one connection for a few seconds.
 * node:http answers what is not HTTP with 400, headers that are too large with 431 and what is too slow with 408.
 */
import type { IncomingMessage, RequestListener, Server } from "node:http";
import type { Socket } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { InvalidArgumentError } from "./errors.js";
import { isLocalNameOrAddress, isLoopback } from "./loopback.js";

/** ms for the head of a request, and for all of it. */
const REQUEST_TIME = 5_000;
/** ms of an idle connection. */
const IDLE_TIME = 10_000;
/** ms for a client to take its response. */
const RESPONSE_TIME = 10_000;
/** ms between two checks for requests that are too slow. */
const CHECK_INTERVAL = 1_000;
/** Bytes of a request's head. */
const MAX_HEAD = 8_192;
/** Connections; one more ends the oldest, so that many slow ones keep nobody out. */
const MAX_CONNECTIONS = 64;
/** Requests of one connection. */
const MAX_REQUESTS = 1_000;
/** ms for responses under way when the server closes. */
const CLOSE_TIME = 1_000;

/** The bounds of a server, in ms but for `connections`. */
export interface HttpLimits {
  readonly requestTime: number;
  readonly idleTime: number;
  readonly responseTime: number;
  readonly checkInterval: number;
  readonly connections: number;
}

const FOREIGN_NAME =
  "Over loopback, Host must be localhost or an address: a page of another name may be made to point here.\n";

const LIMITS: HttpLimits = {
  requestTime: REQUEST_TIME,
  idleTime: IDLE_TIME,
  responseTime: RESPONSE_TIME,
  checkInterval: CHECK_INTERVAL,
  connections: MAX_CONNECTIONS,
};

/** The certificate of an HTTPS server, in PEM; with `ca`, clients need one that it signed. */
export type HttpsOptions = Pick<SecureContextOptions, "cert" | "key" | "passphrase" | "ca">;

/** What a server takes beyond short answers to GET and HEAD. */
export interface HttpAccepted {
  /** Everything else is answered with 405. Default: GET and HEAD. */
  readonly methods?: readonly string[];
  /** Whether a response goes on as long as its client reads: it has no `responseTime`, but `idleTime` holds. Default: none does. */
  isStream?(request: IncomingMessage): boolean;
  /** Whether the listener checks Host. Default: over loopback, names other than localhost are refused. */
  readonly checksHost?: boolean;
}

/** A server with bounds; `listener` gets GET and HEAD, everything else is answered with 405. @param tls `undefined`: plain HTTP */
export function boundedServer(
  listener: RequestListener,
  given: Partial<HttpLimits> = {},
  tls?: HttpsOptions,
  { methods = ["GET", "HEAD"], isStream, checksHost = false }: HttpAccepted = {},
): Server {
  const limits = { ...LIMITS, ...given };
  const connections = new Set<Socket>();
  const options = {
    headersTimeout: limits.requestTime,
    requestTimeout: limits.requestTime,
    keepAliveTimeout: limits.idleTime,
    connectionsCheckingInterval: limits.checkInterval,
    maxHeaderSize: MAX_HEAD,
  };
  const answer: RequestListener = (request, response) => {
    if (isStream?.(request) !== true) {
      const limit = setTimeout(() => request.socket.destroy(), limits.responseTime);
      response.on("close", () => clearTimeout(limit));
    }
    if (!checksHost && isOfForeignName(request)) {
      response.writeHead(403, { "Content-Type": "text/plain; charset=utf-8" }).end(FOREIGN_NAME);
      return;
    }
    if (methods.includes(request.method ?? "")) {
      listener(request, response);
      return;
    }
    // Its body is not read: the connection ends with the response.
    response.writeHead(405, { Allow: methods.join(", "), Connection: "close", "Content-Length": 0 }).end();
  };
  const server =
    tls === undefined
      ? process.getBuiltinModule("node:http").createServer(options, answer)
      : process.getBuiltinModule("node:https").createServer(
          {
            ...options,
            ...tls,
            handshakeTimeout: limits.requestTime,
            requestCert: tls.ca !== undefined,
            rejectUnauthorized: tls.ca !== undefined,
          },
          answer,
        );
  server.setTimeout(limits.idleTime);
  server.maxRequestsPerSocket = MAX_REQUESTS;
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    if (connections.size <= limits.connections) return;
    const [oldest] = connections;
    if (oldest === undefined) return;
    connections.delete(oldest);
    oldest.destroy();
  });
  return server;
}

/** A page of a name that points to this host would read what it is not meant to. A request without Host is not a browser's. */
function isOfForeignName({ headers: { host }, socket }: IncomingMessage): boolean {
  return host !== undefined && isLoopback(socket.remoteAddress ?? "") && !isLocalNameOrAddress(host);
}

/** @throws the system's error, as `EADDRINUSE` */
export function listen(server: Server, host: string | undefined, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** Ends when the responses under way have; those that take long are cut off. */
export function shut(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) {
      resolve();
      return;
    }
    const limit = setTimeout(() => server.closeAllConnections(), CLOSE_TIME);
    server.close(() => {
      clearTimeout(limit);
      resolve();
    });
    server.closeIdleConnections();
  });
}

/** Where to listen. */
export interface ListenAddress {
  /** `undefined`: every address of the machine. */
  readonly host: string | undefined;
  /** 0: one that is free. */
  readonly port: number;
}

/**
 * @param what is to listen, for the error
 * @param text `127.0.0.1:9464`, `[::1]:9464`, `name:9464`; `*:9464` and `:9464` are every address of the machine
 * @throws InvalidArgumentError `EINVAL`
 */
export function parseListenAddress(what: string, text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\s:[\]/]*)):(\d{1,5}|\*)$/.exec(String(text));
  const port = match?.[3] === "*" ? 0 : Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new InvalidArgumentError(
      `${what} address ${JSON.stringify(String(text).slice(0, 60))}: expected HOST:PORT, such as 127.0.0.1:9464`,
    );
  const host = match[1] ?? match[2];
  return { host: host === "" || host === "*" ? undefined : host, port };
}

/** An address as a URL has it. */
export function urlHost(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}
