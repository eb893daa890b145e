/**
 * The upgrade of an HTTP/1.1 connection to WebSocket (RFC 6455, Opening Handshake), which agrees on a subprotocol
 * (subprotocol.ts). Both sides, pure.
 */
import { isLoopback, isLoopbackHost } from "../../../core/loopback.js";
import type { Mechanism } from "../mechanism/mechanism.js";
import { type Head, type Headers, hasWord, headersOf, listOf, onlyValue } from "./http-head.js";
import { acceptsOf, offersOf } from "./subprotocol.js";

/** RFC 6455, The WebSocket Protocol's version. */
const VERSION = "13";
/** RFC 6455, Opening Handshake. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** 16 bytes in base64. */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

type MechanismName = Mechanism["name"];

/** Digests and random bytes: node:crypto, or a test's. */
export interface UpgradeCrypto {
  sha1(text: string): Buffer;
}

/** What a client asks for. */
export interface UpgradeRequest {
  /** Without its query. */
  readonly path: string;
  readonly key: string;
  /** Subprotocols, the preferred one first. */
  readonly protocols: readonly string[];
  readonly host: string;
  /** Of the page, where a browser sends it. */
  readonly origin: string | undefined;
}

/** Why there is no upgrade: the answer's status, and the reason, which the peer and this side's events get. */
export interface UpgradeRefusal {
  readonly status: 400 | 403 | 404 | 405 | 426 | 431 | 503 | 505;
  readonly reason: string;
}

const REASONS: Readonly<Record<UpgradeRefusal["status"], string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  426: "Upgrade Required",
  431: "Request Header Fields Too Large",
  503: "Service Unavailable",
  505: "HTTP Version Not Supported",
};

function refusal(status: UpgradeRefusal["status"], reason: string): UpgradeRefusal {
  return { status, reason };
}

/** A request's head, as it came over the wire. */
export function readRequest({ start, headers }: Head): UpgradeRequest | UpgradeRefusal {
  const line = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP\/(\d)\.(\d)$/.exec(start);
  if (line === null) return refusal(400, "the request line is malformed");
  const [, method, target, major, minor] = line as unknown as [string, string, string, string, string];
  return checkRequest(method, target, `${major}.${minor}`, headers);
}

/** A request that Node's HTTP server has read. */
export function readNodeRequest(request: {
  readonly method?: string | undefined;
  readonly url?: string | undefined;
  readonly httpVersion: string;
  readonly rawHeaders: readonly string[];
}): UpgradeRequest | UpgradeRefusal {
  const { method = "", url = "", httpVersion, rawHeaders } = request;
  return checkRequest(method, url, httpVersion, headersOf(rawHeaders));
}

function checkRequest(
  method: string,
  target: string,
  version: string,
  headers: Headers,
): UpgradeRequest | UpgradeRefusal {
  if (version !== "1.1") return refusal(505, `HTTP/1.1 is expected; got HTTP/${version}`);
  if (method !== "GET") return refusal(405, `GET is expected; got ${method.slice(0, 20)}`);
  if (!target.startsWith("/")) return refusal(400, "the request's target is no path");
  if (!hasWord(headers, "upgrade", "websocket") || !hasWord(headers, "connection", "upgrade"))
    return refusal(426, "the request asks for no upgrade to websocket");
  if (onlyValue(headers, "sec-websocket-version") !== VERSION)
    return refusal(426, `Sec-WebSocket-Version ${VERSION} is expected`);
  const key = onlyValue(headers, "sec-websocket-key");
  if (key === undefined || !KEY.test(key)) return refusal(400, "Sec-WebSocket-Key has no 16 bytes in base64");
  const host = onlyValue(headers, "host");
  if (host === undefined) return refusal(400, "one Host is expected");
  const length = headers.get("content-length");
  if (headers.has("transfer-encoding") || length?.some((each) => each !== "0") === true)
    return refusal(400, "the request has a body");
  const origins = headers.get("origin");
  if (origins !== undefined && origins.length > 1) return refusal(400, "one Origin is expected");
  const query = target.indexOf("?");
  return {
    path: query < 0 ? target : target.slice(0, query),
    key,
    protocols: listOf(headers, "sec-websocket-protocol"),
    host,
    origin: origins?.[0],
  };
}

/**
 * The subprotocol to agree on.
 *
 * @param offered by the client
 * @returns what both have and this side prefers
 */
export function chooseProtocol(
  offered: readonly string[],
  mechanism: MechanismName,
): string | UpgradeRefusal {
  const chosen = acceptsOf(mechanism).find((each) => offered.includes(each));
  if (chosen !== undefined) return chosen;
  const wanted = offersOf(mechanism).join(" or ");
  return refusal(
    400,
    `the subprotocol ${wanted} is expected; got ${printable(offered.join(", ")) || "none"}`,
  );
}

/**
 * Whether a page may connect. What is no browser sends no Origin, or any it likes: this protects the users of browsers from
 * other sites' pages, and nothing from programs.
 *
 * @param allowed origins, or `*` for all; `null`: those of the host that the request is for
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
 * Whether a page's name may have been made to point to this host (DNS rebinding): its origin is that of the host which it asks
 * for. Over loopback a page has a name or address of loopback, unless the program lists origins.
 *
 * @param address of the peer @param allowed as of `isOriginAllowed`
 */
export function isRebound(
  { origin, host }: Pick<UpgradeRequest, "origin" | "host">,
  address: string,
  allowed: readonly string[] | null,
): boolean {
  return allowed === null && origin !== undefined && isLoopback(address) && !isLoopbackHost(host);
}

/** In the form that browsers send; what is no URL, such as "null", as it is. */
function originOf(text: string): string {
  const url = urlOf(text);
  return url === undefined || url.origin === "null" ? text : url.origin;
}

function urlOf(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** What a server answers to a request. @param key of the request */
export function acceptResponse(key: string, protocol: string, crypto: UpgradeCrypto): string {
  return [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptOf(key, crypto)}`,
    `Sec-WebSocket-Protocol: ${protocol}`,
    "",
    "",
  ].join("\r\n");
}

/** What a server answers before it hangs up. */
export function refusalResponse({ status, reason }: UpgradeRefusal): string {
  const body = `${reason}\n`;
  return [
    `HTTP/1.1 ${status} ${REASONS[status]}`,
    ...(status === 405 ? ["Allow: GET"] : []),
    ...(status === 426 ? ["Upgrade: websocket", `Sec-WebSocket-Version: ${VERSION}`] : []),
    status === 426 ? "Connection: Upgrade, close" : "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

/**
 * What a client sends first.
 *
 * @param target the path with its query
 * @param host with the port, unless that is the scheme's own
 * @param key 16 random bytes in base64
 */
export function upgradeRequest(target: string, host: string, key: string, mechanism: MechanismName): string {
  return [
    `GET ${target} HTTP/1.1`,
    `Host: ${host}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Key: ${key}`,
    `Sec-WebSocket-Protocol: ${offersOf(mechanism).join(",")}`,
    `Sec-WebSocket-Version: ${VERSION}`,
    "",
    "",
  ].join("\r\n");
}

/** A server's answer. @returns the subprotocol agreed on, or what is wrong */
export function readResponse(
  { start, headers }: Head,
  key: string,
  mechanism: MechanismName,
  crypto: UpgradeCrypto,
): { readonly protocol: string } | { readonly fault: string } {
  const line = /^HTTP\/1\.1 ([1-5]\d\d)(?: (.*))?$/.exec(start);
  if (line === null) return { fault: "the server's answer is not HTTP/1.1" };
  const [, status, phrase = ""] = line as unknown as [string, string, string | undefined];
  if (status !== "101") return { fault: `the server answered ${printable(`${status} ${phrase}`)}` };
  if (!hasWord(headers, "upgrade", "websocket") || !hasWord(headers, "connection", "upgrade"))
    return { fault: "the server's answer is no upgrade to websocket" };
  if (onlyValue(headers, "sec-websocket-accept") !== acceptOf(key, crypto))
    return { fault: "the server's Sec-WebSocket-Accept is not that of the request's key" };
  if (headers.has("sec-websocket-extensions"))
    return { fault: "the server chose an extension, and none was offered" };
  const protocol = onlyValue(headers, "sec-websocket-protocol");
  if (protocol === undefined) return { fault: "the server chose no subprotocol" };
  if (!offersOf(mechanism).includes(protocol))
    return { fault: `the server chose a subprotocol that was not offered: ${printable(protocol)}` };
  return { protocol };
}

function acceptOf(key: string, crypto: UpgradeCrypto): string {
  return crypto.sha1(key + GUID).toString("base64");
}

/** A peer's text ends up in logs and terminals. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, 100);
}
