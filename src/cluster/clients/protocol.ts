/**
 * Discovery protocol (docs/spec/discovery.md): one JSON object per frame; REQ adds an empty delimiter.
 *
 *   {"command":"nodes","addresses":SCOPE}                          {"ok":true,"node":ID,"nodes":[…]}
 *   {"command":"watch","addresses":SCOPE,"id":ID,"name":NAME}      the same, at once and after each change
 *   anything else                                                  {"ok":false,"error":{"code","message"}}
 */
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError, ProtocolError } from "../../core/errors.js";
import { MAX_MEMBERS, MAX_SHORT_NAME, MAX_TAGS } from "../bounds.js";
import { type AddressScope, isPort } from "./addresses.js";
import type { DiscoveredAddress, DiscoveredNode } from "./directory.js";

export const MAX_REQUEST = 4_096;
const MAX_LIST_TEXT = 512;

export interface DiscoveryRequest {
  readonly command: "nodes" | "watch";
  readonly addresses: AddressScope;
  /** Default "". */
  readonly id: string;
  readonly name: string;
}

/**
 * @param frames without routing id and delimiter
 * @throws InvalidArgumentError `EINVAL`
 */
export function parseRequest(frames: readonly Buffer[]): DiscoveryRequest {
  const [frame] = frames;
  if (frame === undefined || frames.length !== 1)
    throw new InvalidArgumentError(`expected one frame; got ${frames.length}`);
  if (frame.length > MAX_REQUEST)
    throw new InvalidArgumentError(`expected at most ${MAX_REQUEST} bytes; got ${frame.length}`);
  let value: unknown;
  try {
    value = JSON.parse(frame.toString("utf8"));
  } catch {
    throw new InvalidArgumentError('expected JSON such as {"command":"nodes"}');
  }
  if (typeof value !== "object" || value === null)
    throw new InvalidArgumentError('expected an object such as {"command":"nodes"}');
  const { command, addresses = "auto", id = "", name = "" } = value as Record<string, unknown>;
  if (command !== "nodes" && command !== "watch")
    throw new InvalidArgumentError("expected the command nodes or watch");
  if (!isScope(addresses)) throw new InvalidArgumentError('addresses is "auto", "private" or "public"');
  return {
    command,
    addresses,
    id: clientText("id", id),
    name: clientText("name", name),
  };
}

export function isSecure(endpoint: string | undefined): boolean {
  return endpoint?.startsWith("tls://") === true;
}

export function isScope(value: unknown): value is AddressScope {
  return value === "auto" || value === "private" || value === "public";
}

export function clientText(member: string, value: unknown): string {
  if (typeof value === "string" && Buffer.byteLength(value) <= MAX_SHORT_NAME && !/\p{C}/u.test(value))
    return value;
  throw invalidArgument(
    `${member} must be a text of at most ${MAX_SHORT_NAME} bytes without control characters`,
    value,
  );
}

export interface NodeList {
  /** Answering node's id. */
  readonly node: string;
  readonly nodes: readonly DiscoveredNode[];
}

/** @throws ProtocolError `ERR_PROTOCOL`: no list, or the server's error */
export function parseList(frames: readonly Buffer[]): NodeList {
  const frame = frames.at(-1);
  let value: unknown;
  try {
    value = JSON.parse(frame?.toString("utf8") ?? "");
  } catch {
    throw new ProtocolError("the answer of a discovery server is not JSON");
  }
  const { ok, error, node, nodes } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (ok === false) {
    const { code, message } = (error ?? {}) as Readonly<Record<string, unknown>>;
    throw new ProtocolError(`the discovery server refused the request: ${clip(code)} ${clip(message)}`);
  }
  if (ok !== true || !Array.isArray(nodes))
    throw new ProtocolError("the answer of a discovery server is not a list of nodes");
  return {
    node: texts([node])[0] ?? "",
    nodes: nodes.slice(0, MAX_MEMBERS).flatMap((each) => nodeOf(each) ?? []),
  };
}

function clip(value: unknown): string {
  return typeof value === "string" ? value.replace(/\p{C}/gu, " ").slice(0, 200) : "";
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  const isText = (each: unknown): each is string => typeof each === "string" && each.length <= MAX_LIST_TEXT;
  return value.filter(isText).slice(0, MAX_TAGS);
}

/** `undefined`: invalid; the server is not trusted. */
function nodeOf(value: unknown): DiscoveredNode | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, name, addresses, discovery, endpoints, tags, draining } = value as Readonly<
    Record<string, unknown>
  >;
  if (typeof id !== "string" || id === "" || id.length > MAX_LIST_TEXT) return undefined;
  if (typeof name !== "string" || name.length > MAX_LIST_TEXT) return undefined;
  const advertised = Object.create(null) as Record<string, readonly string[]>;
  if (typeof endpoints === "object" && endpoints !== null)
    for (const [key, list] of Object.entries(endpoints).slice(0, MAX_TAGS))
      advertised[key] = Object.freeze(texts(list));
  return Object.freeze({
    id,
    name,
    addresses: Object.freeze(
      (Array.isArray(addresses) ? addresses : []).slice(0, MAX_TAGS).flatMap((each) => addressOf(each) ?? []),
    ),
    discovery: Object.freeze(texts(discovery)),
    endpoints: Object.freeze(advertised),
    tags: Object.freeze(texts(tags)),
    draining: draining === true,
  });
}

function addressOf(value: unknown): DiscoveredAddress | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { ip, interface: name, port, securePort } = value as Readonly<Record<string, unknown>>;
  if (texts([ip]).length === 0) return undefined;
  return Object.freeze({
    ip: ip as string,
    interface: texts([name])[0] ?? "",
    ...(isPort(port) ? { port } : {}),
    ...(isPort(securePort) ? { securePort } : {}),
  });
}
