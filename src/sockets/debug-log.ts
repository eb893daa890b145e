/**
 * `NODE_DEBUG=shoal` prints a line per connection event on standard error.
 *
 *   SHOAL 4242: Dealer 1: tcp://10.0.0.7:5555 dials
 *   SHOAL 4242: Dealer 1: tcp://10.0.0.7:5555 is dialled again in 105 ms: connect ECONNREFUSED 10.0.0.7:5555
 *   SHOAL 4242: tcp://10.0.0.7:5555 CURVE handshake: 64 bytes came
 *   SHOAL 4242: Dealer 1: tcp://10.0.0.7:5555 ready
 */
import { debuglog } from "node:util";
import { debug } from "../core/debug.js";
import type { SocketEvent } from "../engine/events.js";

export const DEBUG = debuglog("shoal");
if (DEBUG.enabled) debug.print = DEBUG;

const CONTROL = /\p{Cc}/gu;

/** Sockets by the order of their first events. */
const numbers = new WeakMap<object, number>();
let sockets = 0;

/** @param type such as "Dealer" */
export function logEvent(socket: object, type: string, event: SocketEvent): void {
  const text = textOf(event);
  if (text === undefined) return;
  const number = numbers.get(socket) ?? ++sockets;
  numbers.set(socket, number);
  const at = "address" in event && event.address !== undefined ? ` ${event.address}` : "";
  const from = "peer" in event && event.peer !== undefined ? `, ${event.peer}` : "";
  DEBUG(`${type} ${number}:${at} ${text}${from}${why(event)}`);
}

function why(event: SocketEvent): string {
  // Remote programs may have written part of the text.
  return "error" in event && event.error !== undefined
    ? `: ${event.error.message.replaceAll(CONTROL, "?")}`
    : "";
}

/** @returns `undefined` for an event that another one covers */
function textOf(event: SocketEvent): string | undefined {
  switch (event.type) {
    case "bind":
      return "listens";
    case "close":
      return "listens no more";
    case "connect:delay":
      return "dials";
    case "connect":
      return "connected";
    case "accept":
      return "accepted";
    case "handshake":
      return "ready";
    case "connect:retry":
      return `is dialled again in ${Math.round(event.interval)} ms`;
    case "disconnect":
      return `lost (${event.reason})`;
    case "handshake:error:auth":
    case "handshake:error:other":
    case "handshake:error:protocol":
      return "refused";
    case "drop":
      return `dropped ${event.messages} messages (${event.reason})`;
    case "invalid":
      return `a message is invalid (${event.reason})`;
    case "peer:join":
    case "peer:leave":
    case "peer:refused":
    case "subscribe":
    case "unsubscribe":
    case "unknown":
      return undefined;
    default:
      return event.type;
  }
}
