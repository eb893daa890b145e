/** The parts of a cluster on a node, created in the order of their dependencies, and their statistics. */
import type { CLUSTER } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { Discovery } from "../discovery/discovery.js";
import { MemberState } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import type { MemberChange } from "../messaging/hooks.js";
import type { NodeLinks } from "../messaging/links.js";
import { MemberMessages } from "../messaging/member-messages.js";
import type { MemberMessagesStats } from "../messaging/member-types.js";
import { Messaging, type MessagingStats } from "../messaging/messaging.js";
import type { RouteDriver } from "../messaging/route-driver.js";
import type { Candidate } from "../requests/balancer.js";
import { Requests } from "../requests/requests.js";
import type { RequestsStats } from "../requests/types.js";
import { serviceRoute } from "../requests/wire.js";
import { hostOf } from "../resolver.js";
import type { ClusterEvent } from "./events.js";
import type { Member } from "./member.js";
import {
  type NamespaceContext,
  type NamespaceOptions,
  type NamespaceOwner,
  NamespaceRuntime,
  type NodeIdentity,
} from "./namespace-runtime.js";
import type { NodeSockets } from "./node-sockets.js";
import type { NamespaceSettings } from "./options.js";
import { OwnDetails } from "./own-details.js";

/** What an event is to messages of members, in order; a lost member ends its requests, too. */
const STAGES: Readonly<Partial<Record<ClusterEvent["type"], readonly MemberChange[]>>> = {
  joined: ["discovered"],
  back: ["found"],
  restarted: ["lost", "found"],
  tags: ["changed"],
  lost: ["lost"],
  left: ["lost"],
  removed: ["lost"],
};

export class NamespaceParts implements NamespaceContext {
  readonly what: string;
  readonly cluster: string;
  readonly identity: NodeIdentity;
  readonly sockets: NodeSockets;
  readonly settings: NamespaceSettings;
  readonly owner: NamespaceOwner;
  readonly runtime: NamespaceRuntime;
  readonly details: OwnDetails;
  readonly discovery: Discovery;
  readonly messages: Messaging;
  readonly memberMessages: MemberMessages;
  readonly requests: Requests;
  readonly #watchers = new Set<() => void>();

  constructor({ what, cluster, identity, sockets, settings, owner }: NamespaceOptions) {
    this.what = what;
    this.cluster = cluster;
    this.identity = identity;
    this.sockets = sockets;
    this.settings = settings;
    this.owner = owner;
    this.runtime = new NamespaceRuntime(this);
    const { runtime } = this;
    this.messages = new Messaging(this, runtime);
    const { links, routes } = this.messages;
    this.memberMessages = new MemberMessages(this, runtime, links);
    this.requests = this.#createRequests(links, routes);
    this.details = new OwnDetails(settings, sockets.settings.ipv6, {
      current: () => runtime.membership?.self.details,
      address: () => sockets.address,
      set: (tags, props, endpoints) => {
        runtime.run((rules, now) => rules.setDetails(now, tags, props, endpoints));
        this.membersChanged();
      },
      dropped: () => sockets.count("messages:details"),
      refused: (name, endpoint, error) => runtime.report({ type: "endpoint:refused", name, endpoint, error }),
    });
    this.details.advertiseAll("advertise", settings.advertised);
    this.discovery = new Discovery(settings.seeds, settings.discovery, runtime, sockets);
  }

  /** `serve` and `request` over members, links and routes. */
  #createRequests(links: NodeLinks, routes: RouteDriver): Requests {
    const { runtime } = this;
    return new Requests({
      id: this.identity.id,
      links,
      routes,
      candidates: (service) => {
        const ids: string[] = [];
        routes.table.match(serviceRoute(service), ids);
        return ids.flatMap((id) => candidateOf(id, runtime.membership));
      },
      isSettling: () => routes.isSettling(),
      find: (id) => {
        const member = runtime.membership?.get(id);
        return member?.isLive === true ? runtime.snapshotOf(member) : undefined;
      },
      nameOf: (id) => {
        const member = runtime.membership?.get(id);
        return member === undefined ? id : `${member.name} at ${member.address}`;
      },
      report: (event) => runtime.report(event),
      handlerFailed: (member, error) => runtime.report({ type: "handler:failed", member, error }),
    });
  }

  emit(event: ClusterEvent): void {
    for (const stage of STAGES[event.type] ?? []) {
      const { member, id = member?.id } = event as { readonly member?: Member; readonly id?: string };
      if (member !== undefined) this.memberMessages.onMember(stage, member);
      if (stage === "lost" && id !== undefined) this.requests.onGone(id);
    }
    this.owner.report(event);
  }

  membersChanged(): void {
    for (const watcher of this.#watchers) watcher();
    this.requests.onRoutes();
  }

  watchMembers(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }
}

// --- Candidates for requests -----------------------------------------------------------------------------------------

/** Nodes with equal values of this prop are near each other. */
const ZONE = "zone";

const Distance = { SAME_HOST: 1, SAME_ZONE: 2, ELSEWHERE: 3 } as const;

/** @returns where a node is that takes requests; empty for another one */
function candidateOf(id: string, rules: Membership | undefined): Candidate[] {
  const member = rules?.get(id);
  if (rules === undefined || member?.isLive !== true || member.draining) return [];
  const { self } = rules;
  if (hostOf(member.name) === hostOf(self.name)) return [{ id, distance: Distance.SAME_HOST }];
  const zone = self.details.props[ZONE];
  const isSame = zone !== undefined && zone === member.details.props[ZONE];
  return [{ id, distance: isSame ? Distance.SAME_ZONE : Distance.ELSEWHERE }];
}

// --- Statistics ------------------------------------------------------------------------------------------------------

/** Statistics of a cluster on a node. */
export type ClusterStats = StatisticsOf<typeof CLUSTER> & {
  /** `undefined` before the start, and without messages. */
  readonly messaging: MessagingStats | undefined;
  /** For `send` and `query`; `undefined` likewise. */
  readonly memberMessages: MemberMessagesStats | undefined;
  /** For `serve` and `request`; `undefined` likewise. */
  readonly requests: RequestsStats | undefined;
};

export function statsOf(
  now: number,
  { runtime, discovery, sockets, messages, memberMessages, requests }: NamespaceParts,
): ClusterStats {
  const { membership: rules, counters, timer, minority } = runtime;
  const isStarted = messages.started !== undefined;
  const sources = discovery.status();
  const counts = rules?.counts(now) ?? { probes: 0, probesFailed: 0, refutations: 0, differsFor: 0 };
  const states = statesOf(rules);
  return {
    members: rules?.size ?? 0,
    suspects: states.suspect,
    gone: states.lost + states.left,
    states,
    ...counts,
    suspicions: counters.suspicions,
    refuted: counters.refuted,
    differsFor: Math.round(counts.differsFor),
    loopDelay: timer.loopDelay,
    stalls: timer.stalls,
    sourcesUp: sources.filter(({ state }) => state === "up").length,
    sourcesDown: sources.filter(({ state }) => state === "down").length,
    healthScore: rules?.healthScore ?? 0,
    minority,
    ...sockets.counters,
    links: sockets.streams.verified,
    dropped: { ...sockets.counters.dropped, ...counters.refused },
    messaging: messages.started?.stats(),
    memberMessages: isStarted ? memberMessages.stats() : undefined,
    requests: isStarted ? requests.stats() : undefined,
  };
}

function statesOf(rules: Membership | undefined): ClusterStats["states"] {
  const states = { alive: 0, suspect: 0, draining: 0, lost: 0, left: 0 };
  if (rules === undefined) return states;
  for (const member of [rules.self, ...rules.live]) {
    if (member.suspicion !== undefined) states.suspect += 1;
    else states[member.draining ? "draining" : "alive"] += 1;
  }
  for (const { state } of rules.dead) states[state === MemberState.LEFT ? "left" : "lost"] += 1;
  return states;
}
