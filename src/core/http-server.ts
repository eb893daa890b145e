/**
 * A bounded HTTP server for untrusted clients. node:http answers malformed requests with 400, large headers
 * with 431 and slow requests with 408.
 *
 * Servers on loopback accept local host names only, against DNS rebinding: a name that resolves to 127.0.0.1 gives a
 * foreign page the origin of a local server. Only unregistrable names count as local.
 */
import { once } from "node:events";
import type { IncomingMessage, RequestListener, Server } from "node:http";
import { type AddressInfo, isIP, isIPv4, type Socket } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { quoted } from "./arguments.js";
import { ERROR_CODES, type ErrorCode, InvalidArgumentError, TransportError } from "./errors.js";

/** ms for responses in flight when the server closes. */
const CLOSE_TIME = 1_000;

export interface HttpLimits {
  /** ms for the headers and for the whole request. */
  readonly requestTime: number;
  readonly idleTime: number;
  /** ms for a client to read its response. */
  readonly responseTime: number;
  readonly checkInterval: number;
  /** One more closes the oldest. */
  readonly connections: number;
}

const FOREIGN_NAME =
  "Over loopback, Host must be localhost or an address: a page of another name may be made to point here.\n";

const LIMITS: HttpLimits = {
  requestTime: 5_000,
  idleTime: 10_000,
  responseTime: 10_000,
  checkInterval: 1_000,
  connections: 64,
};

/** In PEM. With `ca`, clients need a certificate signed by it. */
export type HttpsOptions = Pick<SecureContextOptions, "cert" | "key" | "passphrase" | "ca">;

export interface HttpAccepted {
  /** Others get 405. */
  readonly methods?: readonly string[];
  /** Exempt from `responseTime`; `idleTime` still applies. */
  isStream?(request: IncomingMessage): boolean;
  /** The listener checks Host itself. Default: over loopback, names other than localhost are refused. */
  readonly checksHost?: boolean;
}

/** @param tls `undefined` for plain HTTP */
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
    maxHeaderSize: 8_192,
  };
  const busy = new WeakSet<Socket>();
  const answer: RequestListener = (request, response) => {
    const { socket } = request;
    // Responses to pipelined requests wait in memory, and do not hear that their connection ended.
    if (busy.has(socket)) {
      socket.destroy();
      return;
    }
    busy.add(socket);
    response.on("close", () => busy.delete(socket));
    if (isStream?.(request) !== true) {
      const limit = setTimeout(() => socket.destroy(), limits.responseTime);
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
  server.maxRequestsPerSocket = 1_000;
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

/** Prevents DNS rebinding. A request without Host does not come from a browser. */
function isOfForeignName({ headers: { host }, socket }: IncomingMessage): boolean {
  return host !== undefined && isLoopback(socket.remoteAddress ?? "") && !isLocalNameOrAddress(host);
}

/**
 * @param what is served, for the error @returns the URL
 * @throws TransportError with the system's code and the address as endpoint
 */
export async function serveAt(
  server: Server,
  what: string,
  address: string,
  { host, port }: ListenAddress,
): Promise<string> {
  try {
    server.listen({ port, ...(host === undefined ? {} : { host }) });
    await once(server, "listening");
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new TransportError(
      Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "ERR_TRANSPORT",
      `${what} cannot be served at ${address}: ${message}`,
      { cause: error, endpoint: address },
    );
  }
  // Later errors end one connection only.
  server.on("error", () => undefined);
  const bound = server.address() as AddressInfo;
  return `http://${urlHost(bound.address)}:${bound.port}`;
}

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

export interface ListenAddress {
  /** `undefined`: all addresses. */
  readonly host: string | undefined;
  /** 0: a free port. */
  readonly port: number;
}

/**
 * @param what the listener's name, for the error
 * @param text `127.0.0.1:9464`, `[::1]:9464`, `name:9464`; `*:9464` and `:9464` mean all addresses
 * @throws InvalidArgumentError `EINVAL`
 */
export function parseListenAddress(what: string, text: string): ListenAddress {
  const match =
    typeof text === "string"
      ? /^(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([^\s:[\]/]*)):(\d{1,5}|\*)$/.exec(text)
      : null;
  const port = match?.[3] === "*" ? 0 : Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new InvalidArgumentError(
      `${what} address ${quoted(text)}: expected HOST:PORT, such as 127.0.0.1:9464`,
    );
  const host = match[1] ?? match[2];
  return { host: host === "" || host === "*" ? undefined : host, port };
}

export function urlHost(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** 127.0.0.0/8 or ::1, also as IPv4 within IPv6. */
export function isLoopback(address: string): boolean {
  const ip = address.replace(/^::ffff:(?=\d+\.)/i, "");
  return ip === "::1" || (isIPv4(ip) && ip.startsWith("127."));
}

/** In lower case. */
export function hostOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? "");
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

export function isLoopbackHost(header: string | undefined): boolean {
  const host = hostOf(header);
  return host !== undefined && (isLocalName(host) || isLoopback(host));
}

/** DNS rebinding needs a name, so any address is accepted. */
export function isLocalNameOrAddress(header: string | undefined): boolean {
  const host = hostOf(header);
  return host !== undefined && (isLocalName(host) || isIP(host) !== 0);
}

function isLocalName(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}
