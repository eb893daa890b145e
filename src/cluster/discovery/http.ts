/**
 * HTTP client of discovery: JSON and text.
 *
 * Each request has a new connection: it balances over a name's servers and picks up rotated certificates.
 */
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { describe } from "../../core/arguments.js";
import {
  ERROR_CODES,
  type ErrorCode,
  InvalidArgumentError,
  ProtocolError,
  ShoalError,
  TimeoutError,
  TransportError,
} from "../../core/errors.js";
import { waitFor } from "../../core/waiter.js";
import { checkOptions, type Given, text } from "../../kit/options.js";

const TLS_OPTIONS = {
  /** Trusted authorities. Default: Node's. */
  ca: text(),
  /** Client certificate. */
  cert: text(),
  key: text(),
  /** Expected certificate name. Default: the dialled host. */
  servername: text(),
};

/** PEM text, or a PEM file's path, read for each connection. */
export type DiscoveryTls = Given<typeof TLS_OPTIONS>;

export interface HttpRequest {
  readonly url: URL;
  readonly method: "GET" | "POST" | "PUT";
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: string | undefined;
  readonly tls?: DiscoveryTls | undefined;
  /** ms for the whole answer. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export interface HttpText {
  readonly status: number;
  readonly text: string;
}

export interface HttpAnswer {
  readonly status: number;
  /** An error in plain text is a `message`. */
  readonly body: unknown;
}

export function checkDiscoveryTls(what: string, given: unknown): DiscoveryTls | undefined {
  if (given === undefined) return undefined;
  const tls = checkOptions(what, TLS_OPTIONS, given as object);
  if ((tls.cert === undefined) !== (tls.key === undefined))
    throw new InvalidArgumentError(`${what} needs both cert and key, or neither`);
  return tls;
}

/** `undefined` if the text has more than scheme, host and port, such as a password. */
export function originOf(given: string): URL | undefined {
  try {
    const url = new URL(given);
    const isPlain =
      url.username === "" &&
      url.password === "" &&
      url.pathname === "/" &&
      url.search === "" &&
      url.hash === "";
    return isPlain && (url.protocol === "http:" || url.protocol === "https:") ? url : undefined;
  } catch {
    return undefined; // Not a URL.
  }
}

/**
 * Reads text of any status.
 * @param most characters of an answer with status 200
 * @throws as {@link requestJson}
 */
export async function requestText(request: HttpRequest, most: number): Promise<HttpText> {
  const { url, timeout, signal } = request;
  const ended = new AbortController();
  const answer = open(request, ended.signal).then((response) => readText(url, response, most));
  try {
    return await waitFor(answer, { timeout, signal }, () => {
      const message = `${url.origin} did not answer within ${timeout} ms`;
      return new TimeoutError("ETIMEDOUT", message, { endpoint: url.origin });
    });
  } catch (error) {
    throw explained(url, error);
  } finally {
    ended.abort();
  }
}

/**
 * Reads JSON of any status.
 *
 * @throws TransportError ; TimeoutError `ETIMEDOUT`; ProtocolError `ERR_PROTOCOL`: too long, or not JSON with
 * status 200; AbortedError
 */
export async function requestJson(request: HttpRequest): Promise<HttpAnswer> {
  // 16,384 nodes, some hundred bytes each.
  const { status, text } = await requestText(request, 8_388_608);
  try {
    return { status, body: JSON.parse(text) };
  } catch (cause) {
    if (status !== 200) return { status, body: { message: text } };
    const { origin: endpoint } = request.url;
    const message = `${endpoint}: expected JSON; got ${describe(text)}`;
    throw new ProtocolError(message, "ERR_PROTOCOL", { cause, endpoint });
  }
}

function explained({ origin }: URL, error: unknown): Error {
  if (error instanceof ShoalError) return error;
  // With several addresses it has one error per address, and no message.
  const { code, message } = (error instanceof AggregateError ? (error.errors[0] ?? error) : error) as {
    readonly code?: unknown;
    readonly message: string;
  };
  const known = typeof code === "string" && code in ERROR_CODES ? (code as ErrorCode) : "ERR_TRANSPORT";
  return new TransportError(known, `${origin}: ${message}`, { cause: error, endpoint: origin });
}

async function open(request: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
  const { url, method, headers, body } = request;
  const secure = url.protocol === "https:";
  const options = {
    method,
    signal,
    agent: false,
    headers: {
      accept: "application/json",
      ...headers,
      ...(body === undefined
        ? {}
        : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
    },
    ...(secure ? await readTls(request.tls) : {}),
  } as const;
  return new Promise((resolve, reject) => {
    // Loaded at the first request: most nodes send none.
    const { request } = process.getBuiltinModule(secure ? "node:https" : "node:http");
    const sent = request(url, options);
    sent.once("response", resolve);
    // Later errors are in the response.
    sent.on("error", reject);
    // Without an error, where the server switches protocols.
    sent.on("close", () => reject(new Error("the answer is not of HTTP")));
    sent.end(body);
  });
}

async function readTls(tls: DiscoveryTls = {}): Promise<Record<string, string>> {
  const read: Record<string, string> = tls.servername === undefined ? {} : { servername: tls.servername };
  for (const key of ["ca", "cert", "key"] as const) {
    const value = tls[key];
    if (value === undefined) continue;
    read[key] = value.includes("-----BEGIN ") ? value : await readFile(value, "utf8");
  }
  return read;
}

async function readText({ origin }: URL, response: IncomingMessage, most: number): Promise<HttpText> {
  const { statusCode: status = 0 } = response;
  const limit = status === 200 ? most : 16_384;
  let text = "";
  for await (const chunk of response.setEncoding("utf8") as AsyncIterable<string>) {
    text += chunk;
    if (text.length <= limit) continue;
    if (status === 200) {
      const message = `${origin}: the answer has more than ${most.toLocaleString("en")} bytes`;
      throw new ProtocolError(message, "ERR_PROTOCOL", { endpoint: origin });
    }
    break; // The start of an error is enough.
  }
  return { status, text };
}

/** Empty for other types. */
export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** Of a server's message. */
export function firstLine(message: unknown): string {
  return String(message).split("\n", 1)[0]?.slice(0, 300) ?? "";
}

/** Empty for other types. */
export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
