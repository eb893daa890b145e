/** What happens at a proxy, in the log. */
import type { DrainResult, ProxyEvent, SocketProxy } from "../proxy/index.js";
import { describe } from "./failure.js";
import type { Log } from "./log.js";

/** Logs what happens, until it stops. */
export function report(proxy: SocketProxy, log: Log): void {
  const { events } = proxy;
  events
    .on("pause", () => log.info("paused"))
    .on("resume", () => log.info("resumed"))
    .on("drain", ({ timeout }) => log.info(`draining, for ${timeout / 1_000} s at most`))
    .on("capture:drop", ({ missed }) => log.warn(`the capture is too slow: it missed ${missed} in all`))
    .on("loop", ({ loops }) =>
      log.warn(`the backend leads back to the frontend: ${loops} requests went round`),
    )
    .on("malformed", ({ side, messages }) =>
      log.warn(`dropped ${messages} in all that came to the ${side}: malformed`),
    )
    .on("drop", (event) => log.warn(dropped(event)))
    .on("peer:join", ({ side, address }) => log.detail(`a peer joined the ${side} at ${address}`))
    .on("peer:leave", ({ side, address, reason }) =>
      log.detail(`a peer left the ${side} at ${address}: ${reason}`),
    )
    .on("peer:refused", ({ side, error }) => log.warnOnce(`${side}: ${describe(error)}`))
    .on("error", ({ error }) => log.error(`a message was not passed: ${describe(error)}`));
}

function dropped({ side, reason, messages }: ProxyEvent & { readonly type: "drop" }): string {
  return `dropped ${messages} in all that were to leave the ${side}: ${reason}`;
}

/** What a drain has left, for whoever ended it. */
export function leftOf({ received, queued, unanswered }: DrainResult): string {
  return `stopped with messages left: ${received} not passed on, ${queued} not sent, ${unanswered} requests without reply`;
}

/** Where it listens. */
export function reportEndpoints(proxy: SocketProxy, log: Log): void {
  for (const [name, bound] of Object.entries(proxy.endpoints))
    for (const endpoint of bound) log.info(`${name} listening at ${endpoint}`);
}
