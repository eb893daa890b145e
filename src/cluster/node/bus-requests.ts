/** `serve` and `request` of a bus: joined to its members, its links and its routes. */
import type { Member } from "../membership/members.js";
import { MessageKind } from "../messaging/parts.js";
import type { Candidate } from "../requests/balancer.js";
import { MAX_CALLED_SERVICES } from "../requests/bounds.js";
import { Requests } from "../requests/requests.js";
import { serviceRoute } from "../requests/route.js";
import { hostOf } from "../resolver.js";
import type { BusMessages } from "./bus-messages.js";
import type { BusRuntime } from "./bus-runtime.js";
import type { ClusterEvent } from "./events.js";
import type { Service } from "./service.js";

/** Under which items of requests are counted. */
const PREFIX = "$request";
/** The prop that names where a node is: those with the same one are nearer. */
const ZONE = "zone";

/** How far another node is. */
const Distance = { SAME_HOST: 1, SAME_ZONE: 2, ELSEWHERE: 3 } as const;

interface Found {
  readonly routes: number;
  readonly members: number;
  readonly candidates: readonly Candidate[];
}

const NOBODY: readonly Candidate[] = [];

export class BusRequests {
  readonly requests: Requests;
  readonly #runtime: BusRuntime;
  readonly #messages: BusMessages;
  readonly #id: string;
  /** What was found last, by service. */
  readonly #found = new Map<string, Found>();
  /** Another number whenever members have changed. */
  #members = 0;
  readonly #ids: string[] = [];

  /** @param id of this node @param serviceOf a live member as programs see it */
  constructor(
    id: string,
    runtime: BusRuntime,
    messages: BusMessages,
    serviceOf: (member: Readonly<Member>) => Service,
  ) {
    this.#id = id;
    this.#runtime = runtime;
    this.#messages = messages;
    const find = (of: string): Service | undefined => {
      const rules = runtime.membership;
      const member = of === id ? rules?.self : rules?.get(of);
      return member === undefined || (of !== id && !member.isLive) ? undefined : serviceOf(member);
    };
    this.requests = new Requests({
      id,
      send: (node, item) => this.#send(node, item),
      room: (node) => messages.messaging.links.room(node),
      mayReturn: (node) => messages.mayReturn(node),
      candidates: (service) => this.#candidates(service),
      isSettling: () => this.#isSettling(),
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

  /** Members have changed, or may have. */
  membersChanged(): void {
    this.#members += 1;
    this.requests.onRoutes();
  }

  onEvent(event: ClusterEvent): void {
    switch (event.type) {
      case "lost":
      case "left":
      case "restarted":
        this.requests.onGone(event.member.id);
        break;
      case "removed":
        this.requests.onGone(event.id);
        break;
    }
  }

  #send(node: string, item: Buffer): "sent" | "full" | "too-large" | "unreachable" {
    const links = this.#messages.started?.links;
    if (links === undefined) return "unreachable";
    try {
      return links.send(node, MessageKind.REQUEST, item, PREFIX, true);
    } catch {
      // Larger than this node's links take.
      return "too-large";
    }
  }

  #isSettling(): boolean {
    const routes = this.#messages.started?.routes;
    if (routes === undefined || routes.unsettled.size === 0) return false;
    routes.askUnsettled();
    return true;
  }

  #candidates(service: string): readonly Candidate[] {
    const routes = this.#messages.started?.routes;
    if (routes === undefined) return NOBODY;
    const known = this.#found.get(service);
    if (known !== undefined && known.routes === routes.version && known.members === this.#members)
      return known.candidates;
    this.#ids.length = 0;
    routes.targets(serviceRoute(service), this.#ids);
    let candidates: readonly Candidate[] = this.#ids.flatMap((id) => this.#candidateOf(id) ?? []);
    if (known !== undefined && areSame(known.candidates, candidates)) candidates = known.candidates;
    if (this.#found.size >= MAX_CALLED_SERVICES && known === undefined) this.#found.clear();
    this.#found.set(service, { routes: routes.version, members: this.#members, candidates });
    return candidates;
  }

  #candidateOf(id: string): Candidate | undefined {
    const rules = this.#runtime.membership;
    const member = rules?.get(id);
    if (rules === undefined || id === this.#id || member?.isLive !== true || member.draining)
      return undefined;
    const { self } = rules;
    if (hostOf(member.name) === hostOf(self.name)) return { id, distance: Distance.SAME_HOST };
    const zone = zoneOf(self);
    return {
      id,
      distance: zone !== undefined && zone === zoneOf(member) ? Distance.SAME_ZONE : Distance.ELSEWHERE,
    };
  }
}

function zoneOf({ details }: Readonly<Member>): string | undefined {
  return Object.hasOwn(details.props, ZONE) ? details.props[ZONE] : undefined;
}

function areSame(some: readonly Candidate[], others: readonly Candidate[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ id, distance }, at) => id === others[at]?.id && distance === others[at]?.distance)
  );
}
