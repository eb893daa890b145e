/** Events of a proxy as log lines. */
import type { ProxyDrainResult, ProxyEvent, SocketProxy } from "../proxy/index.js";
import { causeOf } from "../sockets/stalls.js";
import { describe } from "./failure.js";
import { fieldsOf, type Log, type Severity } from "./log.js";

type EventOf<T extends ProxyEvent["type"]> = Extract<ProxyEvent, { readonly type: T }>;

const LINES: { readonly [T in ProxyEvent["type"]]?: readonly [Severity, (event: EventOf<T>) => string] } = {
  "proxy:paused": ["info", () => "paused"],
  "proxy:resumed": ["info", () => "resumed"],
  "drain:started": ["info", ({ timeout }) => `draining, for ${timeout / 1_000} s at most`],
  "drain:ended": ["info", ({ result }) => (result.drained ? "drained" : "the drain has ended")],
  "capture:dropped": [
    "warn",
    ({ missed }) => `the capture is too slow: it has missed ${missed} messages in total`,
  ],
  "loop:detected": [
    "warn",
    ({ loops }) => `the backend leads back to the frontend: ${loops} requests went in a loop`,
  ],
  "message:invalid": [
    "warn",
    ({ side, messages }) => `dropped malformed messages at the ${side}: ${messages} in total`,
  ],
  "message:dropped": [
    "warn",
    ({ side, reason, messages }) => `dropped messages at the ${side}: ${messages} in total, ${reason}`,
  ],
  "peer:joined": ["debug", ({ side, address }) => `a peer joined the ${side} at ${address}`],
  "peer:left": ["debug", ({ side, address, reason }) => `a peer left the ${side} at ${address}: ${reason}`],
  "policy:refused": ["warn", refused],
  "keys:changed": ["info", keys],
  "source:failed": ["warn", ({ side, error }) => `the source of the ${side} failed: ${describe(error)}`],
  "endpoint:refused": [
    "warn",
    ({ side, address, error }) => `${side}: cannot connect to ${address}: ${describe(error)}`,
  ],
  "accept:failed": [
    "warn",
    ({ side, failed, error }) =>
      `the ${side} could not accept ${failed} connections in total: ${describe(error)}`,
  ],
  "message:failed": ["error", ({ error }) => `a message was not forwarded: ${describe(error)}`],
};

export function report(proxy: SocketProxy, log: Log): void {
  const { events } = proxy;
  for (const [type, [severity, text]] of Object.entries(LINES))
    events.on(type as ProxyEvent["type"], (event) =>
      log.write(severity, text(event as never), fieldsOf(event)),
    );
  events
    .on("peer:refused", (event) => {
      const text = (address: string): string => `${event.side}: refused ${address}: ${describe(event.error)}`;
      log.warnOnce(text(event.address), fieldsOf(event), text(hostOf(event.address)));
    })
    .on("handshake:failed", (event) => {
      // peer:refused has reported this peer.
      const isRefusal = event.reason === "authentication" && proxy.endpoints[event.side].length > 0;
      // A peer chooses parts of the text.
      const key = `${event.side} ${hostOf(event.address)} ${event.reason}`;
      if (!isRefusal) log.warnOnce(handshake(event), fieldsOf(event), key);
    });
}

function handshake({ side, address, error }: EventOf<"handshake:failed">): string {
  const own = error.endpoint === undefined || error.endpoint === address ? "" : ` ${error.endpoint}`;
  return `handshake with ${address} at the ${side}${own} failed: ${causeOf(error)}`;
}

/** A peer's port changes with each attempt. */
function hostOf(address: string): string {
  return address.replace(/:\d+$/, "");
}

function refused({ side, reason, refused, address }: EventOf<"policy:refused">): string {
  const first = address === undefined ? "" : `, first from ${address}`;
  return `the policy of the ${side} refused ${refused} in total: ${reason}${first}`;
}

function keys(event: EventOf<"keys:changed">): string {
  const { side, keys, revoked, problems } = event;
  const parts = [`the ${side} has ${keys} keys`, `${revoked} peers were disconnected`, ...problems];
  return parts.join("; ");
}

export function leftOf({ received, queued, unanswered }: ProxyDrainResult): string {
  return `stopped with messages left: ${received} not forwarded, ${queued} not sent, ${unanswered} requests without a reply`;
}

export function reportEndpoints(proxy: SocketProxy, log: Log): void {
  for (const [name, bound] of Object.entries(proxy.endpoints))
    for (const endpoint of bound) log.info(`${name} listening at ${endpoint}`, { side: name, endpoint });
}
