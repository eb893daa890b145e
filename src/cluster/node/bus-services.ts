/** `send`, `query`, channels and hooks of a bus: joined to its members, its links and its group. */
import type { Member } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import type { MessagingSettings } from "../messaging/options.js";
import { MessageKind } from "../messaging/parts.js";
import { Services } from "../messaging/services.js";
import { resolveBy } from "../resolver.js";
import type { BusMessages } from "./bus-messages.js";
import type { BusRuntime } from "./bus-runtime.js";
import type { ClusterEvent } from "./events.js";
import { findMember } from "./member-lookup.js";
import type { Service } from "./service.js";

/** ms that a message waits for the details of a newcomer. */
const DETAILS_TIMEOUT = 1_000;

/** A snapshot of a member, and what it was made of: messages are many, and members change seldom. */
interface Snapshot {
  readonly details: Member["details"];
  readonly start: number;
  readonly count: number;
  readonly state: Member["state"];
  readonly draining: boolean;
  readonly yields: boolean;
  readonly address: string;
  readonly service: Service;
}

export class BusServices {
  readonly services: Services;
  readonly #runtime: BusRuntime;
  readonly #watch: (onChange: () => void) => () => void;
  readonly #snapshots = new WeakMap<object, Snapshot>();

  /** @param settings `undefined`: without messages @param watch calls back at every change of any member; returns what ends that */
  constructor(
    runtime: BusRuntime,
    messages: BusMessages,
    settings: MessagingSettings | undefined,
    watch: (onChange: () => void) => () => void,
  ) {
    this.#runtime = runtime;
    this.#watch = watch;
    this.services = new Services(
      {
        self: () => this.serviceOf(runtime.rules.self),
        find: (nameOrId) => this.#find(nameOrId),
        resolve: (steps) => {
          const { self, live } = runtime.rules;
          return resolveBy([self, ...live], self, steps).map((member) => this.serviceOf(member));
        },
        others: () => runtime.rules.live.map((member) => this.serviceOf(member)),
        send: (to, item, prefix, uncounted, protocols) =>
          messages.started?.links.send(to, MessageKind.SERVICE, item, prefix, uncounted, protocols) ??
          "unreachable",
        takesContext: (id, bytes) => messages.started?.links.takesContext(id, bytes) === true,
        room: (to) => messages.messaging.links.room(to),
        mayReturn: (id) => messages.mayReturn(id),
        protocolOf: (id, protocols) => messages.protocolOf(id, protocols),
        protocolFrom: (id) => messages.protocolFrom(id),
        whenLinked: (id, protocols) => messages.whenLinked(id, protocols),
        isPastLists: (id, protocols) => messages.isPastLists(id, protocols),
        whenKnown: (id) => this.#whenKnown(id),
        isKnown: (id) => this.#isKnown(id),
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

  /** What became of a member, for hooks of services, and for queries that wait for it. */
  onEvent(event: ClusterEvent): void {
    switch (event.type) {
      case "joined":
        this.services.onMember("discovered", event.member);
        break;
      case "back":
        this.services.onMember("found", event.member);
        break;
      case "restarted":
        this.services.onMember("lost", event.member);
        this.services.onMember("found", event.member);
        break;
      case "tags":
        this.services.onMember("changed", event.member);
        break;
      case "lost":
      case "left":
        this.services.onMember("lost", event.member);
        break;
      case "removed":
        if (event.member !== undefined) this.services.onMember("lost", event.member);
        break;
    }
  }

  /** The details of a newcomer come a packet after it. */
  #whenKnown(id: string): Promise<void> | undefined {
    if (this.#isKnown(id)) return undefined;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        unwatch();
        resolve();
      };
      const timer = setTimeout(done, DETAILS_TIMEOUT);
      const unwatch = this.#watch(() => {
        if (this.#isKnown(id)) done();
      });
    });
  }

  #isKnown(id: string): boolean {
    const member = this.#runtime.membership?.get(id);
    return member?.isLive !== true || member.hasDetails;
  }

  #find(nameOrId: string): Service | undefined {
    const rules: Membership | undefined = this.#runtime.membership;
    if (rules === undefined) return undefined;
    const member = findMember(rules, nameOrId, this.#runtime.host);
    return member?.isLive === true ? this.serviceOf(member) : undefined;
  }

  /** A member as programs see it: the same snapshot as before where nothing changed. */
  serviceOf(member: Readonly<Member>): Service {
    const known = this.#snapshots.get(member);
    const { details, start, count, state, draining, yields, address } = member;
    if (
      known !== undefined &&
      known.details === details &&
      known.start === start &&
      known.count === count &&
      known.state === state &&
      known.draining === draining &&
      known.yields === yields &&
      known.address === address
    )
      return known.service;
    const service = this.#runtime.serviceOf(member);
    this.#snapshots.set(member, { details, start, count, state, draining, yields, address, service });
    return service;
  }
}
