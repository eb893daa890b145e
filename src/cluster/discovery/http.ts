/**
 * HTTP client of discovery: JSON, streams of JSON lines, and text.
 *
 * Each request has a new connection: it balances over a name's servers and picks up rotated certificates.
 */
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { describe } from "../../core/arguments.js";
import {
  AbortedError,
  ERROR_CODES,
  type ErrorCode,
  InvalidArgumentError,
  ProtocolError,
  ShoalError,
  TimeoutError,
  TransportError,
} from "../../core/errors.js";
import { checkOptions, type Given, text } from "../../patterns/kit/options.js";
import { Scope } from "./source.js";

/** 16,384 nodes, some hundred bytes each. */
const MAX_ANSWER = 8_388_608;

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
  /** ms for the whole answer, or until a stream begins. */
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

export interface HttpStream {
  /** One value per line (status 200). Leaving the loop closes the connection. */
  readonly values: AsyncIterable<unknown>;
  readonly refusal: HttpAnswer | undefined;
}

export function checkTls(what: string, given: unknown): DiscoveryTls | undefined {
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
  const deadline = new Deadline(request);
  try {
    return await readText(request, await open(request, deadline.signal), most);
  } catch (error) {
    throw deadline.explain(error);
  } finally {
    deadline.end();
  }
}

/**
 * Reads JSON of any status.
 *
 * @throws TransportError ; TimeoutError `ETIMEDOUT`; ProtocolError `ERR_PROTOCOL`: too long, or not JSON with
 * status 200; AbortedError
 */
export async function requestJson(request: HttpRequest): Promise<HttpAnswer> {
  return answerOf(request, await requestText(request, MAX_ANSWER));
}

/** Reading the stream throws like the request. @throws as {@link requestJson} */
export async function requestStream(request: HttpRequest): Promise<HttpStream> {
  const deadline = new Deadline(request);
  try {
    const response = await open(request, deadline.signal);
    const isAccepted = response.statusCode === 200;
    const refusal = isAccepted ? undefined : answerOf(request, await readText(request, response, MAX_ANSWER));
    if (isAccepted) deadline.stopTimer();
    else deadline.end();
    return { refusal, values: readLines(request, response, deadline) };
  } catch (error) {
    const explained = deadline.explain(error);
    deadline.end();
    throw explained;
  }
}

class Deadline extends Scope {
  readonly #request: HttpRequest;

  constructor(request: HttpRequest) {
    super(request.signal, request.timeout);
    this.#request = request;
  }

  explain(error: unknown): Error {
    const { url, signal, timeout } = this.#request;
    const details = { cause: error, endpoint: url.origin };
    if (signal.aborted) return new AbortedError(signal.reason);
    if (this.isLate)
      return new TimeoutError("ETIMEDOUT", `${url.origin} did not answer within ${timeout} ms`, details);
    if (error instanceof ShoalError) return error;
    // With several addresses it has one error per address, and no message.
    const { code, message } = (error instanceof AggregateError ? (error.errors[0] ?? error) : error) as {
      readonly code?: unknown;
      readonly message: string;
    };
    const known = typeof code === "string" && code in ERROR_CODES ? (code as ErrorCode) : "ERR_TRANSPORT";
    return new TransportError(known, `${url.origin}: ${message}`, details);
  }
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
    sent.once("socket", (socket) => socket.setKeepAlive(true, 15_000));
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

async function readText({ url }: HttpRequest, response: IncomingMessage, most: number): Promise<HttpText> {
  const { statusCode: status = 0 } = response;
  const limit = status === 200 ? most : 16_384;
  let text = "";
  for await (const chunk of response.setEncoding("utf8") as AsyncIterable<string>) {
    text += chunk;
    if (text.length <= limit) continue;
    if (status === 200) throw tooLong(url, most);
    break; // The start of an error is enough.
  }
  return { status, text };
}

function answerOf({ url }: HttpRequest, { status, text }: HttpText): HttpAnswer {
  try {
    return { status, body: JSON.parse(text) };
  } catch (cause) {
    if (status === 200) throw notJson(url, text, cause);
    return { status, body: { message: text } };
  }
}

async function* readLines(
  { url }: HttpRequest,
  response: IncomingMessage,
  deadline: Deadline,
): AsyncGenerator<unknown, void, undefined> {
  let rest = "";
  try {
    for await (const chunk of response.setEncoding("utf8") as AsyncIterable<string>) {
      const lines = chunk.split("\n");
      lines[0] = rest + lines[0];
      rest = lines.pop() as string;
      for (const line of lines) {
        if (line.length > MAX_ANSWER) throw tooLong(url, MAX_ANSWER);
        if (line.trim() !== "") yield parse(url, line);
      }
      if (rest.length > MAX_ANSWER) throw tooLong(url, MAX_ANSWER);
    }
  } catch (error) {
    throw deadline.explain(error);
  } finally {
    deadline.end();
    response.destroy();
  }
}

function parse(url: URL, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw notJson(url, line, cause);
  }
}

function tooLong({ origin }: URL, most: number): ProtocolError {
  return new ProtocolError(
    `${origin}: the answer has more than ${most.toLocaleString("en")} bytes`,
    "ERR_PROTOCOL",
    {
      endpoint: origin,
    },
  );
}

function notJson({ origin }: URL, text: string, cause: unknown): ProtocolError {
  return new ProtocolError(`${origin}: expected JSON; got ${describe(text)}`, "ERR_PROTOCOL", {
    cause,
    endpoint: origin,
  });
}

/** Empty for other types. */
export function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/** Empty for other types. */
export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
