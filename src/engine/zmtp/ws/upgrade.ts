/**
 * The upgrade from HTTP/1.1 to WebSocket (RFC 6455, Opening Handshake). `node:http` reads the heads. Pure.
 */
import type { IncomingMessage } from "node:http";
import { randomBytes } from "../../../core/bytes.js";
import { isLoopback, isLoopbackHost } from "../../../core/http-server.js";
import type { MechanismName } from "../mechanism/mechanism.js";
import { acceptsOf, offersOf } from "./zws.js";

/** Bytes of a head: the option `maxHeaderSize`. */
export const MAX_HEAD = 16_384;
/** The option `maxHeadersCount` would drop further headers silently, for example Origin. */
export const MAX_HEADERS = 128;

const VERSION = "13";
/** RFC 6455, Opening Handshake. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

type Headers = IncomingMessage["headersDistinct"];

interface UpgradeRequest {
  /** Without its query. */
  readonly path: string;
  readonly key: string;
  readonly protocols: readonly string[];
  readonly host: string;
  readonly origin: string | undefined;
}

export interface UpgradeRefusal {
  readonly status: 400 | 403 | 404 | 405 | 426 | 431 | 505;
  readonly reason: string;
}

function refusal(status: UpgradeRefusal["status"], reason: string): UpgradeRefusal {
  return { status, reason };
}

export const NO_UPGRADE = refusal(426, "the request asks for no upgrade to websocket");

/** RFC 9110, Lists; from all lines of the header. */
function listOf(headers: Headers, name: string): string[] {
  const words = (headers[name] ?? []).flatMap((value) => value.split(","));
  return words.map((word) => word.trim()).filter((word) => word !== "");
}

function hasWord(headers: Headers, name: string, word: string): boolean {
  return listOf(headers, name).some((each) => each.toLowerCase() === word);
}

function onlyValue(headers: Headers, name: string): string | undefined {
  const values = headers[name];
  return values?.length === 1 ? values[0] : undefined;
}

function asksForUpgrade(headers: Headers): boolean {
  return hasWord(headers, "upgrade", "websocket") && hasWord(headers, "connection", "upgrade");
}

export function readRequest(
  request: Pick<IncomingMessage, "method" | "url" | "httpVersion" | "rawHeaders" | "headersDistinct">,
): UpgradeRequest | UpgradeRefusal {
  const { method = "", url = "", httpVersion, rawHeaders, headersDistinct: headers } = request;
  if (httpVersion !== "1.1") return refusal(505, `the version must be HTTP/1.1; got HTTP/${httpVersion}`);
  if (method !== "GET") return refusal(405, `the method must be GET; got ${method.slice(0, 20)}`);
  if (rawHeaders.length > 2 * MAX_HEADERS)
    return refusal(431, `the request has more than ${MAX_HEADERS} headers`);
  if (!url.startsWith("/")) return refusal(400, "the request's target is no path");
  if (!asksForUpgrade(headers)) return NO_UPGRADE;
  if (onlyValue(headers, "sec-websocket-version") !== VERSION)
    return refusal(426, `Sec-WebSocket-Version ${VERSION} is expected`);
  const key = onlyValue(headers, "sec-websocket-key");
  if (key === undefined || !KEY.test(key)) return refusal(400, "Sec-WebSocket-Key has no 16 bytes in base64");
  const host = onlyValue(headers, "host");
  if (host === undefined) return refusal(400, "one Host is expected");
  const length = headers["content-length"];
  if (headers["transfer-encoding"] !== undefined || length?.some((each) => each !== "0") === true)
    return refusal(400, "the request has a body");
  const { origin = [] } = headers;
  if (origin.length > 1) return refusal(400, "one Origin is expected");
  return {
    path: url.replace(/\?.*$/s, ""),
    key,
    protocols: listOf(headers, "sec-websocket-protocol"),
    host,
    origin: origin[0],
  };
}

export function chooseProtocol(
  offered: readonly string[],
  mechanism: MechanismName,
): string | UpgradeRefusal {
  const chosen = acceptsOf(mechanism).find((each) => offered.includes(each));
  if (chosen !== undefined) return chosen;
  const wanted = offersOf(mechanism).join(" or ");
  return refusal(400, `the subprotocol must be ${wanted}; got ${printable(offered.join(", ")) || "none"}`);
}

/**
 * Protects users of browsers from pages of other sites.
 *
 * @param allowed origins, or `*` for all; `null`: only the requested host's
 */
export function isOriginAllowed(
  { origin, host }: Pick<UpgradeRequest, "origin" | "host">,
  allowed: readonly string[] | null,
): boolean {
  if (origin === undefined) return true;
  if (allowed !== null)
    return allowed.includes("*") || allowed.some((each) => originOf(each) === originOf(origin));
  const page = urlOf(origin);
  return page !== undefined && page.host === urlOf(`${page.protocol}//${host}`)?.host;
}

/**
 * Whether a page's name may have been pointed to this host (DNS rebinding). Over loopback, the host of an
 * unlisted origin must be a name or address of loopback.
 */
export function isRebound(
  { origin, host }: Pick<UpgradeRequest, "origin" | "host">,
  address: string,
  allowed: readonly string[] | null,
): boolean {
  return allowed === null && origin !== undefined && isLoopback(address) && !isLoopbackHost(host);
}

/** As browsers write it; other text, such as "null", unchanged. */
function originOf(text: string): string {
  const url = urlOf(text);
  return url === undefined || url.origin === "null" ? text : url.origin;
}

function urlOf(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

export function acceptResponse(key: string, protocol: string): string {
  return [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptOf(key)}`,
    `Sec-WebSocket-Protocol: ${protocol}`,
    "",
    "",
  ].join("\r\n");
}

export function refusalResponse({ status, reason }: UpgradeRefusal): Buffer {
  const { STATUS_CODES } = process.getBuiltinModule("node:http");
  const body = `${reason}\n`;
  const lines = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    ...(status === 405 ? ["Allow: GET"] : []),
    ...(status === 426 ? ["Upgrade: websocket", `Sec-WebSocket-Version: ${VERSION}`] : []),
    `Connection: ${status === 426 ? "Upgrade, close" : "close"}`,
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ];
  return Buffer.from(lines.join("\r\n"), "latin1");
}

/** In libzmq's order. @param host with the port, unless the scheme implies it */
export function upgradeHeaders(host: string, key: string, mechanism: MechanismName): Record<string, string> {
  return {
    Host: host,
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": key,
    "Sec-WebSocket-Protocol": offersOf(mechanism).join(","),
    "Sec-WebSocket-Version": VERSION,
  };
}

export function readResponse(
  response: Pick<IncomingMessage, "statusCode" | "statusMessage" | "httpVersion" | "headersDistinct">,
  key: string,
  mechanism: MechanismName,
): { readonly protocol: string } | { readonly fault: string } {
  const { statusCode, statusMessage, httpVersion, headersDistinct: headers } = response;
  if (httpVersion !== "1.1") return { fault: NOT_HTTP };
  if (statusCode !== 101)
    return { fault: `the server answered ${printable(`${statusCode} ${statusMessage}`)}` };
  if (!asksForUpgrade(headers)) return { fault: NOT_UPGRADED };
  if (onlyValue(headers, "sec-websocket-accept") !== acceptOf(key))
    return { fault: "the server's Sec-WebSocket-Accept is not that of the request's key" };
  if (headers["sec-websocket-extensions"] !== undefined)
    return { fault: "the server chose an extension, and none was offered" };
  const protocol = onlyValue(headers, "sec-websocket-protocol");
  if (protocol === undefined) return { fault: "the server chose no subprotocol" };
  if (!offersOf(mechanism).includes(protocol))
    return { fault: `the server chose a subprotocol that was not offered: ${printable(protocol)}` };
  return { protocol };
}

/** For answers that `node:http` rejects. */
export const NOT_HTTP = "the server's answer is not HTTP/1.1";
export const NOT_UPGRADED = "the server's answer is no upgrade to websocket";

function acceptOf(key: string): string {
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha1")
    .update(key + GUID, "latin1")
    .digest("base64");
}

/** The text ends up in logs and terminals. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 100);
}

let pool: Int32Array<ArrayBuffer> | undefined;
let at = 0;

/** Unpredictable, as RFC 6455 demands (Client-to-Server Masking). */
export function nextMaskKey(): number {
  if (pool === undefined || at === pool.length) {
    pool = crypto.getRandomValues(pool ?? new Int32Array(2_048));
    at = 0;
  }
  return pool[at++] as number;
}

export function newUpgradeKey(): string {
  return randomBytes(16).toString("base64");
}
