/** A socket's options in the form this engine's parts take them; read anew at each bind and connect. */
import { NotSupportedError } from "../../core/errors.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import { decodeZ85 } from "../../core/z85.js";
import type { Announcement, EngineOptions } from "../engine.js";
import { encodeMetadata } from "./codec/metadata.js";
import type { ConnectionOptions } from "./connection.js";
import type { Mechanism, MechanismOptions } from "./mechanism/mechanism.js";
import type { PipeOptions } from "./pipe.js";
import type { TransportOptions } from "./transport/transport.js";

/** Bytes of what a PUB takes from a subscriber: a subscription, or a message of an XSUB, which it throws away. */
export const MAX_UPSTREAM_FRAME = 65_536;

/** Options this engine cannot have, with the only value of each that it takes. */
const OUT_OF_REACH: Readonly<Record<string, unknown>> = {
  interface: null,
  sendBufferSize: -1,
  receiveBufferSize: -1,
  tcpKeepaliveCount: -1,
  tcpKeepaliveInterval: -1,
  tcpAcceptFilter: null,
  tcpMaxRetransmitTimeout: 0,
  typeOfService: 0,
  socksProxy: null,
  gssapiServer: false,
  gssapiPrincipal: null,
  gssapiServicePrincipal: null,
  gssapiPlainText: false,
};

/** Their names, for the capability table. */
export const UNSUPPORTED_OPTIONS: readonly string[] = Object.keys(OUT_OF_REACH);

/** @throws NotSupportedError `NOT_SUPPORTED` */
export function checkReach(name: string, value: unknown): void {
  if (!Object.hasOwn(OUT_OF_REACH, name)) return;
  if (value === undefined || value === null || value === OUT_OF_REACH[name]) return;
  throw new NotSupportedError(
    `The zmtp engine cannot set the option ${name}: Node.js has no call for it; the libzmq engine can`,
  );
}

const MARKS: readonly string[] = [
  "sendHighWaterMark",
  "receiveHighWaterMark",
  "sendHighWaterMarkBytes",
  "receiveHighWaterMarkBytes",
];

/** Options that take effect on connections that stand, too; the others wait for the next connection. */
const IMMEDIATE: ReadonlySet<string> = new Set([
  "linger",
  "sendTimeout",
  "receiveTimeout",
  ...MARKS,
  "maxReceiveQueueBytes",
  "maxConnections",
  "maxPendingHandshakes",
  "mandatory",
  "handover",
  "probeRouter",
  "correlate",
  "relaxed",
  "noDrop",
  "manual",
  "verbosity",
  "welcomeMessage",
]);

/**
 * Warns of an option that comes too late for the connections there are, and of a number that is not exact. The texts are
 * those of the package `zeromq`, for programs that look for them.
 *
 * @param attached whether the socket is bound or connected, or about to be
 */
export function warnOfOption(name: string, value: unknown, attached: boolean): void {
  if (typeof value === "number" && value > Number.MAX_SAFE_INTEGER)
    process.emitWarning(
      "Value is larger than Number.MAX_SAFE_INTEGER and may have been rounded inaccurately.",
    );
  if (attached && !IMMEDIATE.has(name))
    process.emitWarning("Socket option will not take effect until next connect/bind.");
}

/** Whether pipes that exist follow the option. */
export function isMark(name: string): boolean {
  return MARKS.includes(name);
}

export function pipeOptions(options: EngineOptions, type: SocketTypeName): PipeOptions {
  return {
    sendHighWaterMark: number(options.sendHighWaterMark, 1_000),
    receiveHighWaterMark: number(options.receiveHighWaterMark, 1_000),
    sendHighWaterMarkBytes: number(options.sendHighWaterMarkBytes, 0),
    receiveHighWaterMarkBytes: number(options.receiveHighWaterMarkBytes, 0),
    maxMessageSize: maxMessageSizeOf(options, type),
    conflate: options.conflate === true,
  };
}

function maxMessageSizeOf(options: EngineOptions, type: SocketTypeName): number {
  // A piece of a raw stream has the size that the system read; it is no message of the peer's.
  if (type === "Stream") return -1;
  const size = number(options.maxMessageSize, -1);
  if (type !== "Publisher") return size;
  return size < 0 ? MAX_UPSTREAM_FRAME : Math.min(size, MAX_UPSTREAM_FRAME);
}

export function transportOptions(options: EngineOptions): TransportOptions {
  return {
    ipv6: options.ipv6 === true,
    backlog: number(options.backlog, 100),
    connectTimeout: number(options.connectTimeout, 0),
    tcpKeepalive: number(options.tcpKeepalive, -1),
    tcpKeepaliveIdle: number(options.tcpKeepaliveIdle, -1),
  };
}

export function connectionOptions(options: EngineOptions): ConnectionOptions {
  const interval = number(options.heartbeatInterval, 0);
  const timeout = number(options.heartbeatTimeout, -1);
  return {
    handshakeInterval: number(options.handshakeInterval, 30_000),
    heartbeat: {
      interval,
      timeout: timeout < 0 ? interval : timeout,
      stallTimeout: number(options.heartbeatStallTimeout, 600_000),
      timeToLive: number(options.heartbeatTimeToLive, 0),
    },
    zapDomain: text(options.zapDomain),
  };
}

/** Which mechanism the options ask for, and on which side. */
export function mechanismOf(options: EngineOptions): { name: Mechanism["name"]; isServer: boolean } {
  if (options.curveServer === true) return { name: "CURVE", isServer: true };
  if (options.curveServerKey !== null && options.curveServerKey !== undefined)
    return { name: "CURVE", isServer: false };
  if (options.plainServer === true) return { name: "PLAIN", isServer: true };
  if (options.plainUsername !== null && options.plainUsername !== undefined)
    return { name: "PLAIN", isServer: false };
  return { name: "NULL", isServer: false };
}

/** @param asks whether a hook judges the peers @param announcement one more property */
export function mechanismOptions(
  options: EngineOptions,
  wireName: string,
  asks: boolean,
  announcement?: Announcement,
): MechanismOptions {
  const properties: [string, Uint8Array][] = [["Socket-Type", Buffer.from(wireName)]];
  if (wireName === "REQ" || wireName === "DEALER" || wireName === "ROUTER") {
    properties.push(["Identity", identityOf(options)]);
  }
  if (announcement !== undefined) properties.push([announcement.name, Buffer.from(announcement.value)]);
  return {
    properties: encodeMetadata(properties),
    asks,
    plainUsername: text(options.plainUsername),
    plainPassword: text(options.plainPassword),
    curvePublicKey: key(options.curvePublicKey),
    curveSecretKey: key(options.curveSecretKey),
    curveServerKey: key(options.curveServerKey),
  };
}

/** The socket's own routing id; empty: none. */
export function identityOf({ routingId }: EngineOptions): Buffer {
  if (typeof routingId === "string") return Buffer.from(routingId);
  return routingId instanceof Uint8Array ? Buffer.from(routingId) : Buffer.alloc(0);
}

function number(value: unknown, otherwise: number): number {
  return typeof value === "number" ? value : otherwise;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function key(value: unknown): Uint8Array | undefined {
  if (typeof value === "string") return decodeZ85(value);
  return value instanceof Uint8Array ? value : undefined;
}
