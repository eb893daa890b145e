/** Events of a proxy as log lines. */
import type { ProxyDrainResult, ProxyEvent, SocketProxy } from "../proxy/index.js";
import { causeOf } from "../sockets/stalls.js";
import { describe } from "./failure.js";
import { fieldsOf, type Log } from "./log.js";

export function report(proxy: SocketProxy, log: Log): void {
  const { events } = proxy;
  events
    .on("proxy:paused", (event) => log.info("paused", fieldsOf(event)))
    .on("proxy:resumed", (event) => log.info("resumed", fieldsOf(event)))
    .on("drain:started", (event) =>
      log.info(`draining, for ${event.timeout / 1_000} s at most`, fieldsOf(event)),
    )
    .on("drain:ended", (event) =>
      log.info(event.result.drained ? "drained" : "the drain has ended", fieldsOf(event)),
    )
    .on("capture:dropped", (event) =>
      log.warn(`the capture is too slow: it has missed ${event.missed} messages in total`, fieldsOf(event)),
    )
    .on("loop:detected", (event) =>
      log.warn(
        `the backend leads back to the frontend: ${event.loops} requests went in a loop`,
        fieldsOf(event),
      ),
    )
    .on("message:invalid", (event) =>
      log.warn(
        `dropped malformed messages at the ${event.side}: ${event.messages} in total`,
        fieldsOf(event),
      ),
    )
    .on("message:dropped", (event) => log.warn(dropped(event), fieldsOf(event)))
    .on("peer:joined", (event) =>
      log.debug(`a peer joined the ${event.side} at ${event.address}`, fieldsOf(event)),
    )
    .on("peer:left", (event) =>
      log.debug(`a peer left the ${event.side} at ${event.address}: ${event.reason}`, fieldsOf(event)),
    )
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
    })
    .on("policy:refused", (event) => log.warn(refused(event), fieldsOf(event)))
    .on("keys:changed", (event) => log.info(keys(event), fieldsOf(event)))
    .on("source:failed", (event) =>
      log.warn(`the source of the ${event.side} failed: ${describe(event.error)}`, fieldsOf(event)),
    )
    .on("endpoint:refused", (event) =>
      log.warn(
        `${event.side}: cannot connect to ${event.address}: ${describe(event.error)}`,
        fieldsOf(event),
      ),
    )
    .on("accept:failed", (event) =>
      log.warn(
        `the ${event.side} could not accept ${event.failed} connections in total: ${describe(event.error)}`,
        fieldsOf(event),
      ),
    )
    .on("message:failed", (event) =>
      log.error(`a message was not forwarded: ${describe(event.error)}`, fieldsOf(event)),
    );
}

function dropped({ side, reason, messages }: ProxyEvent & { readonly type: "message:dropped" }): string {
  return `dropped messages at the ${side}: ${messages} in total, ${reason}`;
}

function handshake({ side, address, error }: ProxyEvent & { readonly type: "handshake:failed" }): string {
  const own = error.endpoint === undefined || error.endpoint === address ? "" : ` ${error.endpoint}`;
  return `handshake with ${address} at the ${side}${own} failed: ${causeOf(error)}`;
}

/** A peer's port changes with each attempt. */
function hostOf(address: string): string {
  return address.replace(/:\d+$/, "");
}

function refused({
  side,
  reason,
  refused,
  address,
}: ProxyEvent & { readonly type: "policy:refused" }): string {
  const first = address === undefined ? "" : `, first from ${address}`;
  return `the policy of the ${side} refused ${refused} in total: ${reason}${first}`;
}

function keys(event: ProxyEvent & { readonly type: "keys:changed" }): string {
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
