/** Connects `serve` and `request` to members, links and routes. */
import { MessageKind } from "../messaging/parts.js";
import { Requests } from "../requests/requests.js";
import { serviceRoute } from "../requests/route.js";
import type { BusMessages } from "./bus-messages.js";
import type { BusRuntime } from "./bus-runtime.js";
import type { Member } from "./member.js";
import type { ServiceCandidates } from "./service-candidates.js";

const PREFIX = "$request";

export function createRequests(
  id: string,
  runtime: BusRuntime,
  messages: BusMessages,
  candidates: ServiceCandidates,
): Requests {
  const find = (of: string): Member | undefined => {
    const rules = runtime.membership;
    const member = of === id ? rules?.self : rules?.get(of);
    return member === undefined || (of !== id && !member.isLive) ? undefined : runtime.snapshotOf(member);
  };
  return new Requests({
    id,
    send: (node, item) => {
      try {
        return messages.started?.links.send(node, MessageKind.REQUEST, item, PREFIX) ?? "unreachable";
      } catch {
        return "too-large"; // Above the limit of this node's links.
      }
    },
    room: (node) => messages.messaging.links.room(node),
    candidates: (service) => candidates.of(service),
    isSettling: () => {
      const routes = messages.started?.routes;
      if (routes === undefined || routes.unsettled.size === 0) return false;
      routes.askUnsettled();
      return true;
    },
    announce: (service) => messages.messaging.routes.subscribe(serviceRoute(service)),
    withdraw: async (service) => messages.started?.routes.unsubscribe(serviceRoute(service)),
    find,
    nameOf: (of) => runtime.membership?.get(of)?.name ?? of,
    report: (event) => runtime.report(event),
    handlerFailed: (from, error) => {
      const member = find(from);
      if (member !== undefined) runtime.report({ type: "handler:failed", member, error });
    },
  });
}
