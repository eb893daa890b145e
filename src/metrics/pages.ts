/**
 * The pages that metrics and health have.
 *
 *   GET /metrics   200  Prometheus's text
 *   GET /healthz   200  the event loop turns: that it answers says so
 *   GET /readyz    200  everything runs, its sockets open; 503 before, while it drains, and after
 */
import type { IncomingMessage, RequestListener, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ERROR_CODES, type ErrorCode, TransportError } from "../core/errors.js";
import { Exposition } from "./exposition.js";
import { boundedServer, listen, parseListenAddress, shut, urlHost } from "./http-server.js";

import { readinessOf, unreadiness } from "./readiness.js";
import type { SourceAccounts } from "./samples.js";
import type { MetricsServer, MetricsSource } from "./serve.js";

/** @throws as `serveMetrics` */
export async function startPages(
  address: string,
  sources: () => readonly MetricsSource[],
): Promise<MetricsServer> {
  const { host, port } = parseListenAddress(address);
  const pages = new Pages(await Exposition.load(), sources);
  const server = boundedServer(pages.answer);
  try {
    await listen(server, host, port);
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new TransportError(
      Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : "ERR_TRANSPORT",
      `Metrics cannot be served at ${address}: ${message}`,
      { cause: error, endpoint: address },
    );
  }
  // What goes wrong with it later ends one connection, not the process.
  server.on("error", () => undefined);
  return { url: urlOf(server), close: () => shut(server) };
}

class Pages {
  readonly #exposition: Exposition;
  readonly #sources: () => readonly MetricsSource[];
  /** The one that is being written: whoever asks meanwhile gets it, too. */
  #writing: Promise<string> | undefined;

  constructor(exposition: Exposition, sources: () => readonly MetricsSource[]) {
    this.#exposition = exposition;
    this.#sources = sources;
  }

  readonly answer: RequestListener = (request, response) => {
    void this.#answer(request, response).catch(() => reply(response, 500, "the accounts cannot be read\n"));
  };

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    switch (request.url?.split("?", 1)[0]) {
      case "/metrics": {
        this.#writing ??= this.#write().finally(() => {
          this.#writing = undefined;
        });
        reply(response, 200, await this.#writing, this.#exposition.contentType);
        return;
      }
      case "/healthz":
        reply(response, 200, "ok\n");
        return;
      case "/readyz": {
        const { ready, text } = readinessOf(this.#sources().map((source) => [source.name, whyNot(source)]));
        reply(response, ready ? 200 : 503, text);
        return;
      }
      case "/":
        reply(response, 200, "/metrics\n/healthz\n/readyz\n");
        return;
      default:
        reply(response, 404, "there are /metrics, /healthz and /readyz\n");
    }
  }

  async #write(): Promise<string> {
    const accounts = this.#sources().map(
      (source): SourceAccounts => ({ name: source.name, kind: source.kind, stats: source.stats() }),
    );
    return this.#exposition.text(accounts);
  }
}

function whyNot(source: MetricsSource): string | undefined {
  return source.unready === undefined ? unreadiness(source.stats()) : source.unready();
}

function reply(
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, {
    "Content-Type": type,
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(text); // node:http leaves the body away for HEAD.
}

function urlOf(server: Server): string {
  const { address, port } = server.address() as AddressInfo;
  return `http://${urlHost(address)}:${port}`;
}
