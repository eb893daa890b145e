/** What happens at a proxy, in the log. */
import type { DrainResult, ProxyEvent, SocketProxy } from "../proxy/index.js";
import { describe } from "./failure.js";
import { fieldsOf, type Log } from "./log.js";

/** Logs what happens, until it stops. */
export function report(proxy: SocketProxy, log: Log): void {
  const { events } = proxy;
  events
    .on("pause", (event) => log.info("paused", fieldsOf(event)))
    .on("resume", (event) => log.info("resumed", fieldsOf(event)))
    .on("drain", (event) => log.info(`draining, for ${event.timeout / 1_000} s at most`, fieldsOf(event)))
    .on("drained", (event) => log.detail("drained", fieldsOf(event)))
    .on("capture:drop", (event) =>
      log.warn(`the capture is too slow: it missed ${event.missed} in all`, fieldsOf(event)),
    )
    .on("loop", (event) => log.warn(looped(event), fieldsOf(event)))
    .on("malformed", (event) =>
      log.warn(`dropped ${event.messages} in all that came to the ${event.side}: malformed`, fieldsOf(event)),
    )
    .on("drop", (event) => log.warn(dropped(event), fieldsOf(event)))
    .on("peer:join", (event) =>
      log.detail(`a peer joined the ${event.side} at ${event.address}`, fieldsOf(event)),
    )
    .on("peer:leave", (event) =>
      log.detail(`a peer left the ${event.side} at ${event.address}: ${event.reason}`, fieldsOf(event)),
    )
    .on("peer:refused", (event) => log.warnOnce(`${event.side}: ${describe(event.error)}`, fieldsOf(event)))
    .on("policy", (event) => log.warn(refused(event), fieldsOf(event)))
    .on("keys", (event) => log.info(keys(event), fieldsOf(event)))
    .on("error", (event) => log.error(`a message was not passed: ${describe(event.error)}`, fieldsOf(event)));
}

function looped({ side, by, loops }: ProxyEvent & { readonly type: "loop" }): string {
  switch (by) {
    case "request":
      return `the backend leads back to the frontend: ${loops} requests went round`;
    case "itself":
      return `a peer of the ${side} is this proxy itself: what passes comes back for ever`;
    case "neighbour":
      return `a proxy at the ${side} leads back to this one: what both let pass goes round for ever`;
  }
}

function dropped({ side, reason, messages }: ProxyEvent & { readonly type: "drop" }): string {
  return `dropped ${messages} in all that were to leave the ${side}: ${reason}`;
}

function refused({ side, reason, refused, address }: ProxyEvent & { readonly type: "policy" }): string {
  const begin = address === undefined ? "" : `, ${address} first`;
  return `the policy of the ${side} refused ${refused} in all: ${reason}${begin}`;
}

function keys(event: ProxyEvent & { readonly type: "keys" }): string {
  const { side, keys, revoked, problems } = event;
  const parts = [`the ${side} has ${keys} keys`, `${revoked} peers were disconnected`, ...problems];
  return parts.join("; ");
}

/** What a drain has left, for whoever ended it. */
export function leftOf({ received, queued, unanswered }: DrainResult): string {
  return `stopped with messages left: ${received} not passed on, ${queued} not sent, ${unanswered} requests without reply`;
}

/** Where it listens. */
export function reportEndpoints(proxy: SocketProxy, log: Log): void {
  for (const [name, bound] of Object.entries(proxy.endpoints))
    for (const endpoint of bound) log.info(`${name} listening at ${endpoint}`, { side: name, endpoint });
}
