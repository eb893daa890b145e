import { isBytes } from "../../core/bytes.js";
import type { OptionName, OptionValues } from "../../core/option-table.js";
import { copyOptions, heartbeatTimeoutOf } from "../../core/option-values.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { HandshakeProperty } from "../engine.js";
import { encodeMetadata } from "./codec/metadata.js";
import type { ConnectionOptions } from "./connection.js";
import type { PipeOptions } from "./pipe.js";
import type { ReconnectOptions } from "./reconnect.js";
import type { TransportOptions } from "./transport/transport.js";

/** Bytes per frame from a subscriber of a PUB or RADIO. */
export const MAX_UPSTREAM_FRAME = 65_536;

const MARKS: readonly OptionName[] = [
  "sendHighWaterMark",
  "receiveHighWaterMark",
  "sendHighWaterMarkBytes",
  "receiveHighWaterMarkBytes",
];

export function isMark(name: string): boolean {
  return (MARKS as readonly string[]).includes(name);
}

export function pipeOptions(options: Readonly<OptionValues>, type: SocketTypeName): PipeOptions {
  return {
    sendHighWaterMark: options.sendHighWaterMark,
    receiveHighWaterMark: options.receiveHighWaterMark,
    sendHighWaterMarkBytes: options.sendHighWaterMarkBytes,
    receiveHighWaterMarkBytes: options.receiveHighWaterMarkBytes,
    maxMessageSize: maxMessageSizeOf(options, type),
    conflate: options.conflate,
  };
}

function maxMessageSizeOf(options: Readonly<OptionValues>, type: SocketTypeName): number {
  // The system chooses a raw chunk's size.
  if (type === "Stream") return -1;
  const size = options.maxMessageSize;
  if (type !== "Publisher" && type !== "Radio") return size;
  return size < 0 ? MAX_UPSTREAM_FRAME : Math.min(size, MAX_UPSTREAM_FRAME);
}

export function transportOptions(options: Readonly<OptionValues>): TransportOptions {
  const copy = copyOptions(options) as OptionValues & { live?: Readonly<OptionValues> };
  copy.live = options;
  return copy;
}

/** @param live returns the current options */
export function renewedOptions(
  options: Readonly<OptionValues>,
  live: () => Readonly<OptionValues>,
): TransportOptions {
  return Object.defineProperty(copyOptions(options), "live", { get: live });
}

export function reconnectOptions(options: Readonly<OptionValues>): ReconnectOptions {
  return {
    interval: options.reconnectInterval,
    maxInterval: options.reconnectMaxInterval,
  };
}

export function connectionOptions(options: Readonly<OptionValues>): ConnectionOptions {
  return {
    handshakeInterval: options.handshakeInterval,
    heartbeat: {
      interval: options.heartbeatInterval,
      whenIdle: options.heartbeatWhenIdle,
      timeout: heartbeatTimeoutOf(options),
      timeToLive: options.heartbeatTimeToLive,
    },
    zapDomain: options.zapDomain ?? "",
  };
}

/** ms for steps of a close. @param linger ms; -1: no limit */
export function patienceOf(linger: number): number {
  return linger < 0 ? Number.POSITIVE_INFINITY : linger;
}

export function identityOf({ routingId }: Readonly<OptionValues>): Buffer {
  if (typeof routingId === "string") return Buffer.from(routingId);
  return isBytes(routingId) ? Buffer.from(routingId) : Buffer.alloc(0);
}

export function propertiesOf(
  options: Readonly<OptionValues>,
  wireName: string,
  property?: HandshakeProperty,
): Uint8Array {
  const properties: [string, Uint8Array][] = [["Socket-Type", Buffer.from(wireName)]];
  if (wireName === "REQ" || wireName === "DEALER" || wireName === "ROUTER") {
    properties.push(["Identity", identityOf(options)]);
  }
  if (property !== undefined) properties.push([property.name, Buffer.from(property.value)]);
  return encodeMetadata(properties);
}
