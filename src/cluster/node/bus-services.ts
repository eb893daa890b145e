/** Connects `send`, `query`, channels and hooks to members, links and the multicast group. */
import { Services } from "../messaging/services.js";
import { resolveBy } from "../resolver.js";
import type { BusContext } from "./bus-context.js";
import type { BusMessages } from "./bus-messages.js";
import type { BusRuntime } from "./bus-runtime.js";

/** Details of a new member arrive one packet later. */
const DETAILS_TIMEOUT = 1_000;

export function createServices(bus: BusContext, runtime: BusRuntime, messages: BusMessages): Services {
  const settings = bus.settings.messaging;
  const isKnown = (id: string): boolean => {
    const member = runtime.membership?.get(id);
    return member?.isLive !== true || member.hasDetails;
  };
  return new Services(
    {
      self: () => runtime.snapshotOf(runtime.rules.self),
      find: (nameOrId) => {
        const member = runtime.membership && runtime.find(nameOrId);
        return member?.isLive === true ? runtime.snapshotOf(member) : undefined;
      },
      resolve: (steps) => {
        const { self, live } = runtime.rules;
        return resolveBy([self, ...live], self, steps).map((member) => runtime.snapshotOf(member));
      },
      others: () => runtime.rules.live.map((member) => runtime.snapshotOf(member)),
      links: () => messages.links,
      mayReturn: (id) => messages.mayReturn(id),
      whenKnown: (id) => (isKnown(id) ? undefined : untilKnown(bus, () => isKnown(id))),
      isKnown,
      report: (event) => runtime.report(event),
      group: {
        room: () => (settings === undefined ? 0 : runtime.messageRoom),
        send: (data) => runtime.multicastMessage(data),
      },
    },
    {
      channels: settings?.channels,
      hookTimeout: settings?.hookTimeout,
      protocols: settings?.protocols?.map((each) => (typeof each === "string" ? each : each.name)),
    },
  );
}

function untilKnown(bus: BusContext, isKnown: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      unwatch();
      resolve();
    };
    const timer = setTimeout(done, DETAILS_TIMEOUT);
    const unwatch = bus.watchMembers(() => {
      if (isKnown()) done();
    });
  });
}
