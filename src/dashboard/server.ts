/**
 * The dashboard over HTTP, and who may read and steer it.
 *
 *   GET  /                       the page; /page.css, /page/main.js
 *   GET  /api/state              the newest state, as JSON
 *   GET  /api/events             stream (text/event-stream): an event `state` at each interval
 *   GET  /api/list?source=ID&name=NAME&filter=TEXT&offset=N&limit=N      a part of a list
 *   POST /api/control            {"source":ID,"action":"pause"}, with the token: 204
 *
 * Errors are {"error":{"code","message"}}: 400 for malformed requests, 401 for a wrong token, 403 for another origin or
 * host, 409 for a source's refusal, 429 after many wrong tokens.
 *
 *   every request    Host is an address, localhost or an allowed name: under DNS rebinding a foreign page sends the
 *                    attacker's name as Host
 *   state changes    Origin is the dashboard's, the body is JSON (which other origins cannot send without preflight), and
 *                    the token is right, compared in constant time
 */

import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { checkInteger, checkKeys, invalidArgument, thrownText } from "../core/arguments.js";
import { InvalidArgumentError, ShoalError } from "../core/errors.js";
import {
  boundedServer,
  hostOf,
  isLocalNameOrAddress,
  parseListenAddress,
  serveAt,
  shut,
} from "../core/http-server.js";
import { builtFile } from "../core/packages.js";
import { ignore, Once } from "../core/waiter.js";
import { MAX_PAGE, pageOf, type Subject } from "./build.js";
import { Collector, type Snapshot } from "./collector.js";
import { PAGE, STYLE } from "./document.js";
import { type DashboardSources, LocalSubject } from "./local.js";
import type { DashboardAction } from "./state.js";

const INTERVAL_DEFAULT = 2_000;
const MIN_READ_INTERVAL = 200;
const MAX_READ_INTERVAL = 60_000;
/** ms; a stream without them has ended. */
const STREAM_BEAT = 4_000;
/** ms until a page reconnects. */
const STREAM_RETRY = 2_000;
/** Unsent bytes beyond which a client misses states. */
const MAX_UNSENT = 4_194_304;
const MAX_CONTROL_BODY = 4_096;
const MAX_HOSTS = 64;
const ACTIONS: readonly string[] = ["pause", "resume", "drain"];

const JSON_TYPE = "application/json; charset=utf-8";

export interface DashboardOptions {
  /** Poll interval, ms, 200 to 60,000. Default 2,000. */
  readonly interval?: number;
  /**
   * 16 to 1,024 printable ASCII characters without spaces. Clients with it may pause, resume and drain sources.
   * Default: no one may.
   */
  readonly token?: string;
  /** Allowed host names besides localhost and addresses. Default: none. */
  readonly hosts?: readonly string[];
}

export interface DashboardServer {
  /** Address, such as `http://127.0.0.1:9465`. */
  readonly url: string;
  /** Ends the server and its streams, not the shown sources. A second call joins the first. */
  close(): Promise<void>;
}

/**
 * Serves a page with live connections, rates, queues and drops of a program's sockets, drivers, proxies and cluster
 * nodes, read only while a client is connected. The page loads nothing from other servers.
 *
 *   const dashboard = await serveDashboard("127.0.0.1:9465", { orders: broker, feed: publisher });
 *
 * Anyone who reaches the address can read the page: use a local address, or an authenticating proxy.
 *
 * @param address HOST:PORT; `:9465` is 127.0.0.1, `*:9465` every address of the machine, port 0 a free one
 * @throws InvalidArgumentError `EINVAL` for another address, an invalid option, or anything but sockets, drivers and
 *   sources
 * @throws TransportError `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` and others, with the address as endpoint
 */
export async function serveDashboard(
  address: string,
  sources: DashboardSources,
  options: DashboardOptions = {},
): Promise<DashboardServer> {
  return startDashboard(address, [new LocalSubject(sources)], options);
}

/** The subjects stay open. @throws as `serveDashboard` */
export async function startDashboard(
  address: string,
  subjects: readonly Subject[],
  options: DashboardOptions,
): Promise<DashboardServer> {
  const { interval, token, hosts } = checked(options);
  const listening = parseListenAddress("Dashboard", address);
  // Local, unlike the metrics server.
  const host = /^:/.test(address) ? "127.0.0.1" : listening.host;
  const collector = new Collector(subjects, { interval, control: token !== undefined });
  const pages = new Pages(collector, token, host === undefined ? hosts : [...hosts, host.toLowerCase()]);
  const server = boundedServer(pages.answer, {}, undefined, {
    methods: ["GET", "HEAD", "POST"],
    checksHost: true,
    isStream: (request) => request.url?.split("?", 1)[0] === "/api/events",
  });
  const url = await serveAt(server, "The dashboard", address, { host, port: listening.port });
  const closing = new Once<void>();
  const close = (): Promise<void> => {
    pages.close();
    collector.close();
    return shut(server);
  };
  return { url, close: () => closing.call(close) };
}

function checked(options: DashboardOptions) {
  checkKeys("serveDashboard", options, ["interval", "token", "hosts"]);
  const { interval = INTERVAL_DEFAULT, token, hosts = [] } = options;
  checkInteger("interval", interval, MIN_READ_INTERVAL, MAX_READ_INTERVAL);
  // The value is a secret.
  if (token !== undefined && !/^[\x21-\x7e]{16,1024}$/.test(String(token)))
    throw new InvalidArgumentError("token must be 16 to 1,024 printable ASCII characters without spaces");
  if (!Array.isArray(hosts) || hosts.length > MAX_HOSTS || hosts.some((name) => typeof name !== "string"))
    throw invalidArgument(`hosts must be a list of at most ${MAX_HOSTS} names`, hosts);
  return { interval, token, hosts: hosts.map((name: string) => name.toLowerCase()) };
}

class Pages {
  readonly #collector: Collector;
  readonly #token: TokenCheck | undefined;
  readonly #hosts: readonly string[];
  readonly #script = readFileSync(builtFile("dist/dashboard/page/main.js"), "utf8");
  readonly #streams = new Set<ServerResponse>();

  constructor(collector: Collector, token: string | undefined, hosts: readonly string[]) {
    this.#collector = collector;
    this.#token = token === undefined ? undefined : new TokenCheck(token);
    this.#hosts = hosts;
  }

  close(): void {
    for (const stream of this.#streams) stream.end();
  }

  readonly answer: RequestListener = (request, response) => {
    void this.#answer(request, response).catch((error: unknown) => {
      if (error instanceof HttpError) fail(response, error);
      else fail(response, new HttpError(500, "ERR_TRANSPORT", "the statistics cannot be read"));
    });
  };

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { headers, method, url = "" } = request;
    if (!isHostAllowed(headers.host, this.#hosts))
      throw new HttpError(
        403,
        "EACCES",
        "this host name is not allowed: add it to the dashboard's option hosts",
      );
    const [path = "", query = ""] = url.split("?", 2);
    if (method === "POST") {
      if (path !== "/api/control") throw new HttpError(405, "EINVAL", "only /api/control accepts POST");
      await this.#control(request, response);
      return;
    }
    switch (path) {
      case "/":
        reply(response, "text/html; charset=utf-8", PAGE);
        return;
      case "/page.css":
        reply(response, "text/css; charset=utf-8", STYLE);
        return;
      case "/api/state":
        reply(response, JSON_TYPE, (await this.#collector.snapshot()).text);
        return;
      case "/api/list":
        reply(response, JSON_TYPE, JSON.stringify(await this.#list(new URLSearchParams(query))));
        return;
      case "/api/events":
        this.#openStream(request, response);
        return;
      case "/page/main.js":
        reply(response, "text/javascript; charset=utf-8", this.#script);
        return;
      default:
        throw new HttpError(404, "ENOENT", "unknown path");
    }
  }

  async #list(query: URLSearchParams): Promise<object> {
    const number = (name: string, fallback: number, most: number): number => {
      const text = query.get(name);
      if (text === null) return fallback;
      if (!/^\d{1,9}$/.test(text) || Number(text) > most)
        throw new HttpError(400, "EINVAL", `${name} must be a whole number from 0 to ${most}`);
      return Number(text);
    };
    const options = {
      filter: query.get("filter") ?? "",
      offset: number("offset", 0, 999_999_999),
      limit: number("limit", MAX_PAGE, MAX_PAGE),
    };
    const items = await this.#collector.list(query.get("source") ?? "", query.get("name") ?? "");
    if (items === undefined) throw new HttpError(404, "ENOENT", "unknown list");
    return pageOf(items, options);
  }

  /**
   * A slow client misses states, and gets the newest next. The server bounds its connections, and so the streams: one
   * more ends the oldest, whose page reconnects.
   */
  #openStream(request: IncomingMessage, response: ServerResponse): void {
    response.writeHead(200, { ...SECURITY_HEADERS, "Content-Type": "text/event-stream; charset=utf-8" });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    response.write(`retry: ${STREAM_RETRY}\n\n`);
    const heartbeat = setInterval(() => {
      if (response.writableLength < MAX_UNSENT) response.write(":\n\n");
    }, STREAM_BEAT).unref();
    let time = 0;
    const send = ({ state, text }: Snapshot): void => {
      if (response.destroyed || response.writableEnded || state.time === time) return;
      if (response.writableLength >= MAX_UNSENT) return;
      time = state.time;
      response.write(`event: state\ndata: ${text}\n\n`);
    };
    this.#streams.add(response);
    const stop = this.#collector.subscribe(send);
    response.on("close", () => {
      stop();
      clearInterval(heartbeat);
      this.#streams.delete(response);
    });
    this.#collector.snapshot().then(send, ignore);
  }

  async #control(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { headers } = request;
    if (!isOwnOrigin(headers.origin, headers.host))
      throw new HttpError(403, "EACCES", "a request from another origin");
    if (this.#token === undefined)
      throw new HttpError(403, "EACCES", "the dashboard has no token, so it accepts no actions");
    switch (this.#token.check(headers.authorization, performance.now())) {
      case "too many":
        throw new HttpError(429, "EAGAIN", "too many wrong tokens: try again in a minute");
      case "wrong":
        throw new HttpError(
          401,
          "EACCES",
          /^Bearer \S/i.test(headers.authorization ?? "")
            ? "wrong token"
            : "the dashboard's token is needed, as Authorization: Bearer TOKEN",
        );
    }
    if (!/^application\/json\b/i.test(headers["content-type"] ?? ""))
      throw new HttpError(415, "EINVAL", "expected Content-Type: application/json");
    const { source, action } = await bodyOf(request);
    if (typeof source !== "string" || typeof action !== "string" || !ACTIONS.includes(action))
      throw new HttpError(
        400,
        "EINVAL",
        `expected {"source":ID,"action":…} with one of ${ACTIONS.join(", ")}`,
      );
    try {
      await this.#collector.act(source, action as DashboardAction);
    } catch (error) {
      const code = error instanceof ShoalError ? error.code : "ERR_TRANSPORT";
      throw new HttpError(409, code, thrownText(error));
    }
    response.writeHead(204, SECURITY_HEADERS).end();
  }
}

class HttpError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function fail(response: ServerResponse, { status, code, message }: HttpError): void {
  reply(response, JSON_TYPE, JSON.stringify({ error: { code, message } }), status);
}

function reply(response: ServerResponse, type: string, text: string, status = 200): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    ...SECURITY_HEADERS,
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(text),
    // A refused request's body is not read.
    ...(status >= 400 ? { Connection: "close" } : {}),
  });
  response.end(text); // node:http leaves out the body for HEAD.
}

async function bodyOf(request: IncomingMessage): Promise<{ source?: unknown; action?: unknown }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_CONTROL_BODY)
      throw new HttpError(413, "EINVAL", `expected at most ${MAX_CONTROL_BODY} bytes`);
    chunks.push(chunk);
  }
  try {
    const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    throw new HttpError(400, "EINVAL", "expected JSON");
  }
}

// --- Access ----------------------------------------------------------------------------------------------------------

/** Wrong tokens per minute from all clients; beyond it no token is checked. */
const MAX_WRONG_TOKENS = 30;
const MINUTE = 60_000;

/** No foreign content, no inline script, no framing. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Cache-Control": "no-store",
};

/** @param allowed lower-case names besides localhost and addresses */
export function isHostAllowed(header: string | undefined, allowed: readonly string[]): boolean {
  return isLocalNameOrAddress(header) || allowed.includes(hostOf(header) ?? "");
}

/** Whether a state change comes from the dashboard's page, or outside a browser. */
export function isOwnOrigin(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return true;
  if (host === undefined || !URL.canParse(origin)) return false;
  return new URL(origin).host === host.toLowerCase();
}

type TokenResult = "right" | "wrong" | "too many";

export class TokenCheck {
  readonly #digest: Buffer;
  #wrong = 0;
  #since = Number.NEGATIVE_INFINITY;

  constructor(token: string) {
    this.#digest = digest(token);
  }

  /** @param authorization `Bearer TOKEN` @param now ms */
  check(authorization: string | undefined, now: number): TokenResult {
    if (now - this.#since >= MINUTE) {
      this.#since = now;
      this.#wrong = 0;
    }
    if (this.#wrong >= MAX_WRONG_TOKENS) return "too many";
    const given = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1] ?? "";
    // Digests of equal length do not reveal the token's.
    if (timingSafeEqual(digest(given), this.#digest)) return "right";
    this.#wrong += 1;
    return "wrong";
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
