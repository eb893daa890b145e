/**
 * Streams that carry links over HTTP, from a program's server and through proxies (docs/spec/link.md, Over HTTP).
 *
 *   GET /path HTTP/1.1                       HTTP/1.1 101 Switching Protocols
 *   Connection: Upgrade                      Connection: Upgrade
 *   Upgrade: shoal-link                      Upgrade: shoal-link
 *   SMQ: CLUSTER
 *
 * A request with `SMQ: CLUSTER` but no Upgrade gets a 204 first, as in SMQ's clusters.
 */
import { type EventEmitter, once } from "node:events";
import {
  type Server as HttpServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
  validateHeaderName,
  validateHeaderValue,
} from "node:http";
import type { Server as HttpsServer } from "node:https";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { describe, invalidArgument } from "../core/arguments.js";
import {
  HandshakeError,
  InvalidArgumentError,
  ProtocolError,
  TimeoutError,
  TransportError,
} from "../core/errors.js";
import { checkWait, ignore, waitFor } from "../core/waiter.js";
import {
  anything,
  checkFunction,
  checkOptions,
  func,
  type Given,
  integer,
  object,
  text,
} from "../kit/options.js";

const PROTOCOL = "shoal-link";
const SWITCHING = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PROTOCOL}\r\n\r\n`;

const ACCEPT_OPTIONS = {
  /** Path of link requests, such as "/cluster". Default: any. */
  path: text(),
  /** `true` admits a request, anything else or an error gives 403; may be async. Default: all. */
  authorize: func<(request: IncomingMessage) => boolean | Promise<boolean>>(),
  /**
   * Gets errors of `onStream`, such as a failed handshake, after its stream is destroyed. Default: the peer's failures
   * (handshakes, timeouts, broken streams) are ignored, others become unhandled rejections.
   */
  onError: func<(error: unknown, request: IncomingMessage) => void>(),
} as const;

export type AcceptLinksOptions = Given<typeof ACCEPT_OPTIONS>;

const DIAL_OPTIONS = {
  /** HTTP proxy for CONNECT: "http://user:password@host:port", with Basic credentials. */
  proxy: text(),
  headers: object<Readonly<Record<string, string>>>(),
  /** Options of `tls.connect` for https: URLs and proxies: `ca`, `cert`, `key`, `servername` … */
  tls: object<ConnectionOptions>(),
  /** ms. Default 10,000. */
  timeout: integer({ default: 10_000 }),
  signal: anything<AbortSignal>(),
} as const;

export type DialLinkOptions = Given<typeof DIAL_OPTIONS>;

const OF_PEER = [HandshakeError, ProtocolError, TimeoutError, TransportError];

/** Sockets of links, by any call of `acceptLinks`. */
const taken = new WeakSet<Socket>();

/**
 * Accepts streams from an HTTP or HTTPS server: requests with `SMQ: CLUSTER` or `Upgrade: shoal-link`. Its listeners
 * get other requests.
 *
 * @param onStream called with each unread stream, for `openLink` with `role: "responder"`; may be async
 * @returns stops accepting; streams stay
 * @throws InvalidArgumentError `EINVAL`
 */
export function acceptLinks(
  server: HttpServer | HttpsServer,
  onStream: (stream: Duplex, request: IncomingMessage) => unknown,
  options: AcceptLinksOptions = {},
): () => void {
  if (typeof server?.emit !== "function")
    throw invalidArgument("acceptLinks must be given an HTTP server", server);
  checkFunction("onStream", onStream);
  const { path, authorize, onError } = checkOptions("acceptLinks", ACCEPT_OPTIONS, options);
  let isActive = true;
  const isMeant = ({ url }: IncomingMessage): boolean =>
    isActive && (path === undefined || url?.split("?", 1)[0] === path);
  const take = (request: IncomingMessage, socket: Socket, head: Buffer, answer: string): void => {
    const begin = (isAllowed: boolean): void => {
      if (socket.destroyed) return;
      if (!isAllowed) {
        socket.write("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        // Nothing reads the socket, and without the server's timeouts a peer would keep its connection.
        socket.destroySoon();
        return;
      }
      socket.setTimeout(0);
      if (head.length > 0) socket.unshift(head);
      socket.write(answer);
      new Promise((resolve) => resolve(onStream(socket, request))).catch((error: unknown) => {
        socket.destroy();
        if (onError !== undefined) onError(error, request);
        else if (!OF_PEER.some((type) => error instanceof type)) throw error;
      });
    };
    // The listener stays, since the program may listen later.
    socket.on("error", ignore);
    if (authorize === undefined) begin(true);
    else
      Promise.resolve(request)
        .then(authorize)
        .then(
          (isAllowed) => begin(isAllowed === true),
          () => begin(false),
        );
  };
  const emit = server.emit as (this: EventEmitter, event: string, ...values: unknown[]) => boolean;
  // The program's listeners would answer too, and a listener of upgrades here would take all others from the program.
  const intercept = function (this: EventEmitter, event: string, ...values: unknown[]): boolean {
    const [request, second, head] = values as [IncomingMessage, ServerResponse | Socket, Buffer | undefined];
    // Of one piece of bytes Node.js emits all requests, also those behind a link's.
    if (taken.has(request?.socket)) {
      request.socket.destroy();
      return true;
    }
    if ((event !== "request" && event !== "upgrade") || !isMeant(request))
      return emit.call(this, event, ...values);
    const isUpgrade = request.headers.upgrade?.toLowerCase() === PROTOCOL;
    if (!isUpgrade && request.headers.smq !== "CLUSTER") return emit.call(this, event, ...values);
    // Behind another request, whose answer still needs the connection.
    if (event === "request" && (second as ServerResponse).socket === null) {
      request.socket.destroy();
      return true;
    }
    taken.add(request.socket);
    const socket = event === "upgrade" ? (second as Socket) : detach(request, second as ServerResponse);
    take(request, socket, head ?? Buffer.alloc(0), isUpgrade ? SWITCHING : "HTTP/1.1 204 No Content\r\n\r\n");
    return true;
  };
  server.emit = intercept as typeof server.emit;
  return () => {
    isActive = false;
    if (server.emit === (intercept as typeof server.emit)) server.emit = emit as typeof server.emit;
  };
}

function detach(request: IncomingMessage, response: ServerResponse): Socket {
  const { socket } = request;
  response.detachSocket(socket);
  // A data listener makes Node.js read in JavaScript, so its own listeners can be removed.
  socket.on("data", ignore);
  for (const event of ["data", "end", "drain", "timeout"] as const) socket.removeAllListeners(event);
  socket.pause();
  return socket;
}

/**
 * Opens a stream for a link over HTTP or HTTPS, also through a proxy.
 *
 * @param url "http://host:port/path" or "https://…"
 * @returns the stream, for `openLink` with `role: "initiator"`
 * @throws HandshakeError `ERR_HANDSHAKE` for other statuses than the server's 101 and the proxy's 200,
 *   `ERR_AUTHENTICATION` at 401, 403 and 407; TransportError with the system's code, or `ERR_TRANSPORT`; TimeoutError
 *   `ETIMEDOUT`; AbortedError `ABORT_ERR`; InvalidArgumentError `EINVAL`
 */
export async function dialLink(url: string | URL, options: DialLinkOptions = {}): Promise<Duplex> {
  const settings = checkOptions("dialLink", DIAL_OPTIONS, options);
  const target = parse("url", url);
  const proxy = settings.proxy === undefined ? undefined : parse("proxy", settings.proxy);
  const headers = checkHeaders(settings.headers ?? {});
  const { timeout, signal, tls } = settings;
  checkWait({ signal });
  const credentials = credentialsOf(proxy);
  const streams: Socket[] = [];
  const when = async (stream: Socket, event: string): Promise<Socket> => {
    streams.push(stream);
    // It may fail between two steps, and before the program listens; `close` reports that too.
    stream.on("error", ignore);
    await once(stream, event);
    return stream;
  };
  const secure = (to: URL, over?: Socket): Promise<Socket> => {
    const host = hostOf(to);
    const name = isIP(host) === 0 ? { servername: host } : {};
    const where = over === undefined ? { host, port: portOf(to) } : { socket: over, host };
    return when(connectTls({ ...name, ...tls, ...where }), "secureConnect");
  };
  const dial = async (): Promise<Duplex> => {
    const first = proxy ?? target;
    let stream =
      first.protocol === "https:"
        ? await secure(first)
        : await when(connectTcp({ host: hostOf(first), port: portOf(first) }), "connect");
    if (proxy !== undefined) {
      const authority = `${target.hostname}:${portOf(target)}`;
      const connect = { method: "CONNECT", path: authority, headers: { Host: authority, ...credentials } };
      const status = await ask(stream, connect);
      if (status < 200 || status > 299) throw refusal("The proxy", status);
      if (target.protocol === "https:") stream = await secure(target, stream);
    }
    const upgrade = {
      path: `${target.pathname}${target.search}`,
      headers: { ...headers, Host: target.host, Connection: "Upgrade", Upgrade: PROTOCOL, SMQ: "CLUSTER" },
    };
    const status = await ask(stream, upgrade);
    if (status !== 101) throw refusal("The server", status);
    return stream;
  };
  try {
    const late = () => new TimeoutError("ETIMEDOUT", `No stream within ${timeout} ms`);
    return await waitFor(dial(), { timeout, signal }, late);
  } catch (error) {
    for (const stream of streams) stream.destroy();
    throw failureOf(error);
  }
}

/** The stream is free again after the answer. */
function ask(stream: Socket, options: RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...options, createConnection: () => stream, setHost: false });
    const opened = ({ statusCode = 0 }: IncomingMessage, socket: Duplex, head: Buffer): void => {
      if (head.length > 0) socket.unshift(head);
      resolve(statusCode);
    };
    request.on("connect", opened).on("upgrade", opened).on("error", reject);
    request.on("response", ({ statusCode = 0 }) => resolve(statusCode));
    request.end();
  });
}

function failureOf(error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== "Error") return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code?.startsWith("HPE_"))
    return new HandshakeError("ERR_HANDSHAKE", "The answer is not HTTP/1.1", { cause: error });
  const known =
    code === "ECONNREFUSED" || code === "EADDRNOTAVAIL" || code === "EACCES" ? code : "ERR_TRANSPORT";
  return new TransportError(known, `No stream: ${error.message}`, { cause: error });
}

function parse(what: string, given: unknown): URL {
  const url = URL.canParse(String(given)) ? new URL(String(given)) : undefined;
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw new InvalidArgumentError(`The ${what} of dialLink must be an http or https URL`);
}

function credentialsOf(proxy: URL | undefined): Readonly<Record<string, string>> {
  if (proxy === undefined || proxy.username === "") return {};
  try {
    const given = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
    return { "Proxy-Authorization": `Basic ${Buffer.from(given).toString("base64")}` };
  } catch {
    throw new InvalidArgumentError("The credentials of dialLink's proxy must be percent-encoded UTF-8");
  }
}

function hostOf({ hostname }: URL): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

function portOf({ port, protocol }: URL): number {
  return port === "" ? (protocol === "https:" ? 443 : 80) : Number(port);
}

function checkHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(headers)) {
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch (cause) {
      throw new InvalidArgumentError(`Header ${describe(name)} of dialLink is invalid`, { cause });
    }
  }
  return headers;
}

function refusal(who: string, status: number): HandshakeError {
  const isCredentials = status === 401 || status === 403 || status === 407;
  return new HandshakeError(
    isCredentials ? "ERR_AUTHENTICATION" : "ERR_HANDSHAKE",
    `${who} refused the link with status ${status}`,
  );
}
