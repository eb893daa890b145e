/** A discovery server's list over HTTP (docs/spec/discovery.md, HTTP). */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { Socket } from "node:net";
import { describe } from "../../core/arguments.js";
import { InvalidArgumentError, type ShoalError, TransportError } from "../../core/errors.js";
import { boundedServer, type HttpsOptions, listen, shut, urlHost } from "../../core/http-server.js";
import { filterAccepts } from "../../core/node-internals.js";
import { checkKeys } from "../../patterns/kit/options.js";
import { plainIp } from "./addresses.js";
import type { CallerCounts, CallerEffects } from "./callers.js";
import { xmlOf } from "./description.js";
import type { NodeDirectory } from "./directory.js";
import { isScope } from "./protocol.js";

const HTTP_CONNECTIONS = 1_024;
const MAX_AUTHORIZATION = 2_048;
const PATH = "/nodes";

/** Port of a dedicated server, or the program's server. */
export type DiscoveryHttpOptions =
  | {
      /** 0: any free port. */
      readonly port: number;
      /** Default `127.0.0.1`. */
      readonly host?: string | undefined;
      /** Default `/nodes`. */
      readonly path?: string | undefined;
    }
  | {
      /** Answers all requests but those for `path`. */
      readonly server: HttpServer;
      /** Default `/nodes`. */
      readonly path?: string | undefined;
    };

export class DirectoryPage {
  readonly #directory: NodeDirectory;
  readonly #counts: Pick<CallerCounts, "requests" | "invalid">;
  readonly #hasXml: boolean;
  readonly #effects: Pick<CallerEffects, "admits" | "invalid" | "allows" | "isServing">;
  #server: HttpServer | undefined;
  #detach: (() => void) | undefined;

  constructor(
    directory: NodeDirectory,
    counts: Pick<CallerCounts, "requests" | "invalid">,
    hasXml: boolean,
    effects: Pick<CallerEffects, "admits" | "invalid" | "allows" | "isServing">,
  ) {
    this.#directory = directory;
    this.#counts = counts;
    this.#hasXml = hasXml;
    this.#effects = effects;
  }

  /**
   * @returns the URL; `undefined` on the program's server
   * @throws TransportError `EADDRINUSE` and other system codes
   */
  async open(http: DiscoveryHttpOptions, tls: HttpsOptions | undefined): Promise<string | undefined> {
    const { path = PATH } = http;
    const answer = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#answer(request, response);
    if ("server" in http) {
      this.#detach = attach(http.server, path, answer);
      return undefined;
    }
    const server = boundedServer(
      (request, response) => {
        if (pathOf(request) === path) answer(request, response);
        else end(response, 404);
      },
      { connections: HTTP_CONNECTIONS },
      tls,
    );
    const admits = (address: string): boolean => this.#effects.admits(plainIp(address));
    filterAccepts(server, admits);
    server.on("connection", (socket) => {
      if (!admits(socket.remoteAddress ?? "")) socket.destroy(); // Some runtimes lack the filter.
    });
    const onInvalid = (error: NodeJS.ErrnoException, { remoteAddress }: Socket): void => {
      const { code = "" } = error;
      // Resets, aborts and slow requests are no protocol violations.
      const isInvalid = /^(?:HPE|ERR_SSL)_/.test(code) && code !== "HPE_INVALID_EOF_STATE";
      if (remoteAddress === undefined || !isInvalid) return;
      this.#counts.invalid += 1;
      this.#effects.invalid(plainIp(remoteAddress));
    };
    server.on("tlsClientError", onInvalid);
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      onInvalid(error, socket as Socket);
      socket.destroy();
    });
    const { host = "127.0.0.1", port } = http;
    try {
      await listen(server, host, port);
    } catch (error) {
      const { code = "EINVAL", message } = error as NodeJS.ErrnoException;
      throw new TransportError(code as ShoalError["code"], message, { cause: error as Error });
    }
    this.#server = server;
    const { port: bound } = server.address() as { port: number };
    return `${tls === undefined ? "http" : "https"}://${urlHost(host)}:${bound}${path}`;
  }

  renew(tls: HttpsOptions): void {
    (this.#server as HttpsServer | undefined)?.setSecureContext(tls);
  }

  async close(): Promise<void> {
    this.#detach?.();
    this.#detach = undefined;
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await shut(server);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#counts.requests += 1;
    // Some connections were not filtered.
    if (!this.#effects.isServing()) {
      end(response, 503);
      return;
    }
    const address = plainIp(request.socket.remoteAddress ?? "");
    const caller = { ...basicOf(request.headers.authorization), address, via: "http" as const };
    if (!(await this.#effects.allows(caller))) {
      response.setHeader("WWW-Authenticate", 'Basic realm="shoal", charset="UTF-8"');
      end(response, 401);
      return;
    }
    const query = new URLSearchParams((request.url ?? "").split("?")[1] ?? "");
    const scope = query.get("addresses") ?? "auto";
    const format = query.get("format") ?? (accepts(request, "application/xml") ? "xml" : "json");
    if (!isScope(scope) || (format !== "json" && format !== "xml")) {
      this.#counts.invalid += 1;
      end(response, 400);
      return;
    }
    response.setHeader("Cache-Control", "no-store");
    if (format === "json") end(response, 200, this.#directory.reply(address, scope), "application/json");
    else if (this.#hasXml)
      end(response, 200, xmlOf(this.#directory.nodes(address, scope)), "application/xml");
    else end(response, 406);
  }
}

export function checkHttp(http: DiscoveryHttpOptions): void {
  checkKeys("http", http, "server" in http ? ["server", "path"] : ["port", "host", "path"]);
  const { path = PATH } = http;
  if (typeof path !== "string" || !/^\/[^?#\s]*$/.test(path))
    throw new InvalidArgumentError(`http.path must begin with a slash; got ${describe(path)}`);
  if ("server" in http) {
    if (typeof http.server?.on !== "function")
      throw new InvalidArgumentError(
        `http.server must be a server of node:http; got ${describe(http.server)}`,
      );
    return;
  }
  const { port, host } = http;
  if (!Number.isSafeInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError(`http.port must be a port from 0 to 65,535; got ${describe(port)}`);
  if (host !== undefined && (typeof host !== "string" || host === ""))
    throw new InvalidArgumentError(`http.host must be a text that is not empty; got ${describe(host)}`);
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?")[0] ?? "";
}

function accepts(request: IncomingMessage, type: string): boolean {
  const wanted = (request.headers.accept ?? "").split(",").map((each) => each.split(";")[0]?.trim());
  return wanted.includes(type) && !wanted.includes("application/json");
}

function basicOf(header: string | undefined): { username?: string; password?: string } {
  const match = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? "");
  const code = match?.[1];
  if (code === undefined || code.length > MAX_AUTHORIZATION) return {};
  const text = Buffer.from(code, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 1 ? {} : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

function end(response: ServerResponse, status: number, body: string | Buffer = "", type?: string): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  response.writeHead(status, {
    "Content-Length": bytes.length,
    ...(type === undefined ? {} : { "Content-Type": `${type}; charset=utf-8` }),
  });
  response.end(response.req.method === "HEAD" ? undefined : bytes);
}

/** Other paths go to the existing listeners. */
function attach(
  server: HttpServer,
  path: string,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): () => void {
  const { emit } = server;
  let isActive = true;
  const own = function (this: HttpServer, name: string | symbol, ...values: unknown[]): boolean {
    const [request, response] = values as [IncomingMessage, ServerResponse];
    if (name !== "request" || !isActive || pathOf(request) !== path)
      return Reflect.apply(emit, this, [name, ...values]) as boolean;
    if (request.method === "GET" || request.method === "HEAD") listener(request, response);
    else {
      response.setHeader("Allow", "GET, HEAD");
      response.setHeader("Connection", "close");
      end(response, 405);
    }
    return true;
  };
  server.emit = own as typeof server.emit;
  return () => {
    isActive = false;
    if (server.emit === (own as typeof server.emit)) server.emit = emit;
  };
}
