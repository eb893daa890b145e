import { isBytes } from "../../core/bytes.js";
import { NotSupportedError } from "../../core/errors.js";
import { MAX_FRAMES } from "../../core/memory.js";
import {
  copyOptions,
  heartbeatTimeoutOf,
  OPTIONS,
  type OptionName,
  type OptionSpec,
  type OptionValues,
} from "../../core/option-table.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import { encodeMetadata } from "./codec/command.js";
import type { HeartbeatOptions } from "./heartbeat.js";
import type { PipeOptions } from "./pipe.js";
import type { TransportOptions } from "./transport/transport.js";

/** Bytes per frame from a subscriber of a PUB or RADIO. */
export const MAX_UPSTREAM_FRAME = 65_536;

/** Types with messages of one frame (41/CLISRV, 49/SCATTERGATHER, 51/P2P, 52/CHANNEL). */
const SINGLE_FRAMES: readonly SocketTypeName[] = ["Client", "Server", "Peer", "Scatter", "Gather", "Channel"];

/** Single frames, raw bytes, groups, and requests do not pass in wire format (routing/relaying.ts). */
const NOT_RELAYED: readonly SocketTypeName[] = [...SINGLE_FRAMES, "Stream", "Dish", "Request"];

export function isRelayed({ conflate }: Readonly<OptionValues>, type: SocketTypeName): boolean {
  return !conflate && !NOT_RELAYED.includes(type);
}

export function pipeOptions(options: Readonly<OptionValues>, type: SocketTypeName): PipeOptions {
  return {
    sendHighWaterMark: options.sendHighWaterMark,
    receiveHighWaterMark: options.receiveHighWaterMark,
    sendHighWaterMarkBytes: options.sendHighWaterMarkBytes,
    receiveHighWaterMarkBytes: options.receiveHighWaterMarkBytes,
    maxMessageSize: maxMessageSizeOf(options, type),
    maxFrames: SINGLE_FRAMES.includes(type) ? 1 : MAX_FRAMES,
    conflate: options.conflate,
    early: !options.conflate && type !== "Push" && type !== "Scatter",
  };
}

function maxMessageSizeOf(options: Readonly<OptionValues>, type: SocketTypeName): number {
  // The system chooses a raw chunk's size.
  if (type === "Stream") return -1;
  const size = options.maxMessageSize;
  if (type !== "Publisher" && type !== "Radio") return size;
  return size < 0 ? MAX_UPSTREAM_FRAME : Math.min(size, MAX_UPSTREAM_FRAME);
}

/** A field: a getter would give each socket's options a shape of their own. */
export function transportOptions(options: Readonly<OptionValues>): TransportOptions {
  return Object.assign(copyOptions(options), { live: options });
}

/** @param live returns the current options */
export function renewedOptions(
  options: Readonly<OptionValues>,
  live: () => Readonly<OptionValues>,
): TransportOptions {
  return Object.defineProperty(copyOptions(options), "live", { get: live });
}

export function heartbeatOptions(options: Readonly<OptionValues>): HeartbeatOptions {
  return {
    interval: options.heartbeatInterval,
    timeout: heartbeatTimeoutOf(options),
    timeToLive: options.heartbeatTimeToLive,
  };
}

/** ms for steps of a close. @param linger ms; -1: no limit */
export function closeTimeoutOf(linger: number): number {
  return linger < 0 ? Number.POSITIVE_INFINITY : linger;
}

export function identityOf({ routingId }: Readonly<OptionValues>): Buffer {
  if (typeof routingId === "string") return Buffer.from(routingId);
  return isBytes(routingId) ? Buffer.from(routingId) : Buffer.alloc(0);
}

export function propertiesOf(options: Readonly<OptionValues>, wireName: string): Uint8Array {
  const properties: [string, Uint8Array][] = [["Socket-Type", Buffer.from(wireName)]];
  if (wireName === "REQ" || wireName === "DEALER" || wireName === "ROUTER") {
    properties.push(["Identity", identityOf(options)]);
  }
  return encodeMetadata(properties);
}

const warned = new Set<string>();

/** Options that decide who connects or through what: only the default is accepted. */
export const UNSUPPORTED_OPTIONS: readonly string[] = Object.entries<OptionSpec>(OPTIONS)
  .filter(([, { zmtp }]) => zmtp === "refused")
  .map(([name]) => name);

/** Warns once per process. @throws NotSupportedError `NOT_SUPPORTED` */
export function assertSupported(name: string, value: unknown): void {
  const spec: OptionSpec | undefined = OPTIONS[name as OptionName];
  if (spec?.zmtp === undefined || value === undefined || value === null || value === spec.default) return;
  if (spec.zmtp === "refused")
    throw new NotSupportedError(
      `The zmtp engine cannot set the option ${name}: Node.js has no call for it; the libzmq engine can`,
    );
  if (warned.has(name)) return;
  warned.add(name);
  process.emitWarning(`The option ${name} has no effect: Node.js has no call for it; the libzmq engine has`, {
    type: "ShoalWarning",
    code: "SHOAL_NO_EFFECT",
  });
}

export function assertAllSupported(options: Readonly<OptionValues>): void {
  for (const name of Object.getOwnPropertyNames(options)) assertSupported(name, options[name as OptionName]);
}

/** Warns of an option set too late, and of an inexact number, in the texts of the package `zeromq`. */
export function warnOfOption(name: string, value: unknown, attached: boolean): void {
  if (typeof value === "number" && value > Number.MAX_SAFE_INTEGER)
    process.emitWarning(
      "Value is larger than Number.MAX_SAFE_INTEGER and may have been rounded inaccurately.",
    );
  const spec: OptionSpec | undefined = OPTIONS[name as OptionName];
  if (attached && spec?.live !== true)
    process.emitWarning("Socket option will not take effect until next connect/bind.");
}
