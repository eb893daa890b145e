/** A discovery server's list over HTTP (docs/spec/discovery.md, HTTP). */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from "node:http";
import type { Server as HttpsServer } from "node:https";
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { boundedServer, type HttpsOptions, serveAt, shut, urlHost } from "../../core/http-server.js";
import { checkOptions, type GivenWith, integer, text } from "../../kit/options.js";
import { plainIp } from "./addresses.js";
import type { CallerContext } from "./callers.js";
import { xmlOf } from "./directory.js";
import { isScope } from "./protocol.js";

const PATH = "/nodes";

const OPTIONS = {
  /** TCP port; 0: any free one. */
  port: integer({ min: 0, max: 65_535 }),
  /** Address or name to listen at. Default `127.0.0.1`. */
  host: text(),
  /** URL path of the list. Default `/nodes`. */
  path: text(),
};

export type DiscoveryHttpOptions = GivenWith<typeof OPTIONS, "port">;

export class DirectoryPage {
  readonly #context: CallerContext;
  readonly #hasXml: boolean;
  #server: HttpServer | undefined;

  constructor(context: CallerContext, hasXml: boolean) {
    this.#context = context;
    this.#hasXml = hasXml;
  }

  /**
   * @returns the list's URL
   * @throws TransportError `EADDRINUSE` and other system codes
   */
  async open(http: DiscoveryHttpOptions, tls: HttpsOptions | undefined): Promise<string> {
    const { host = "127.0.0.1", path = PATH, port } = http;
    const server = boundedServer(
      (request, response) => {
        if ((request.url ?? "").split("?")[0] === path) void this.#answer(request, response);
        else end(response, 404);
      },
      { connections: 1_024 },
      tls,
    );
    server.on("clientError", ({ code = "" }: NodeJS.ErrnoException, socket) => {
      // Resets and slow requests violate no protocol.
      if (code.startsWith("HPE_") && code !== "HPE_INVALID_EOF_STATE") this.#context.counts.invalid += 1;
      socket.destroy();
    });
    // Its certificate may be renewed from now on.
    this.#server = server;
    const origin = await serveAt(server, "The list of nodes", `${urlHost(host)}:${port}`, { host, port });
    return `${tls === undefined ? origin : origin.replace("http", "https")}${path}`;
  }

  renew(tls: HttpsOptions): void {
    (this.#server as HttpsServer | undefined)?.setSecureContext(tls);
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await shut(server);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { counts, directory, gate, node } = this.#context;
    counts.requests += 1;
    if (node.removed) {
      end(response, 503);
      return;
    }
    const address = plainIp(request.socket.remoteAddress ?? "");
    const caller = { ...basicOf(request.headers.authorization), address, via: "http" as const };
    if (!(await gate.allows(caller))) {
      response.setHeader("WWW-Authenticate", 'Basic realm="shoal", charset="UTF-8"');
      end(response, 401);
      return;
    }
    const query = new URLSearchParams((request.url ?? "").split("?")[1] ?? "");
    const scope = query.get("addresses") ?? "auto";
    const format = query.get("format") ?? (accepts(request, "application/xml") ? "xml" : "json");
    if (!isScope(scope) || (format !== "json" && format !== "xml")) {
      counts.invalid += 1;
      end(response, 400);
      return;
    }
    response.setHeader("Cache-Control", "no-store");
    if (format === "json") end(response, 200, directory.list(address, scope), "application/json");
    else if (this.#hasXml) end(response, 200, xmlOf(directory.nodes(address, scope)), "application/xml");
    else end(response, 406);
  }
}

export function checkHttp(http: DiscoveryHttpOptions): void {
  const { path = PATH, port } = checkOptions("http", OPTIONS, http);
  if (!/^\/[^?#\s]*$/.test(path)) throw invalidArgument("http.path must begin with a slash", path);
  if (port === undefined) throw new InvalidArgumentError("http needs a port, or 0 for a free one");
}

function accepts(request: IncomingMessage, type: string): boolean {
  const wanted = (request.headers.accept ?? "").split(",").map((each) => each.split(";")[0]?.trim());
  return wanted.includes(type) && !wanted.includes("application/json");
}

function basicOf(header: string | undefined): { username?: string; password?: string } {
  const match = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? "");
  const code = match?.[1];
  if (code === undefined || code.length > 2_048) return {};
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
