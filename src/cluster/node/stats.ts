/** Statistics of a bus. */
import { MemberState } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import type { MessagingStats } from "../messaging/messaging.js";
import type { ServicesStats } from "../messaging/service-types.js";
import type { RequestsStats } from "../requests/types.js";
import type { BusParts } from "./bus-parts.js";

/** Statistics of a bus. */
export interface ClusterStats {
  /** Live members, this node included. */
  readonly members: number;
  readonly suspects: number;
  /** Lost or left, and not forgotten yet. */
  readonly gone: number;
  /** Members by their state: a draining one is not `alive`; `lost` and `left` ones are not forgotten yet. */
  readonly states: Readonly<Record<"alive" | "suspect" | "draining" | "lost" | "left", number>>;
  /** Probes that this node sent, and those that nobody answered. */
  readonly probes: number;
  readonly probesFailed: number;
  /** Members that became suspect here, and those of them that refuted it. */
  readonly suspicions: number;
  readonly refuted: number;
  /** Accusations of this node that it refuted. */
  readonly refutations: number;
  /** ms for which its picture of the cluster has differed from what others sent; 0: they are the same. */
  readonly differsFor: number;
  /** ms: the longest delay of the event loop in the last minute or two; one of less than 50 to 100 ms, by the profile, may not show. */
  readonly loopDelay: number;
  /** Times that the event loop stood still for more than half a probe's time-out. */
  readonly stalls: number;
  /** Sources of discovery that are up, and that are down. */
  readonly sourcesUp: number;
  readonly sourcesDown: number;
  /** 0: the node trusts its own view, up to 8: it was late or accused in vain. */
  readonly healthScore: number;
  /** Whether this side of a split is not the one that goes on. */
  readonly minority: boolean;
  /** Of the node, for all its buses. */
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes of datagrams sent for gossip alone. */
  readonly gossipBytes: number;
  /** Streams to other nodes. */
  readonly links: number;
  /** What the node refused or dropped, by reason; and what the bus's rules refused, as `rules:REASON`. */
  readonly dropped: Readonly<Record<string, number>>;
  /** `undefined` before the start, after the end, and without messages. */
  readonly messaging: MessagingStats | undefined;
  /** Of `send` and `query`; `undefined` before the start, and where `messaging` is false. */
  readonly services: ServicesStats | undefined;
  /** Of `serve` and `request`; `undefined` likewise. */
  readonly requests: RequestsStats | undefined;
}

/** @param now of the rules */
export function statsOf(
  now: number,
  { runtime, discovery, sockets, messages, services, requests }: BusParts,
): ClusterStats {
  const { membership: rules, counters, timer, minority } = runtime;
  const isStarted = messages.started !== undefined;
  const sources = discovery.status();
  const { packetsSent, packetsReceived, bytesSent, bytesReceived, gossipBytes, dropped } = sockets.counters;
  const counts = rules?.counts(now);
  const states = statesOf(rules);
  const refused = Object.entries(counters.refused).map(
    ([reason, count]) => [`rules:${reason}`, count] as const,
  );
  return {
    members: rules?.size ?? 0,
    suspects: states.suspect,
    gone: states.lost + states.left,
    states,
    probes: counts?.probes ?? 0,
    probesFailed: counts?.probesFailed ?? 0,
    suspicions: counters.suspicions,
    refuted: counters.refuted,
    refutations: counts?.refutations ?? 0,
    differsFor: Math.round(counts?.differsFor ?? 0),
    loopDelay: timer.loopDelay,
    stalls: timer.stalls,
    sourcesUp: sources.filter(({ state }) => state === "up").length,
    sourcesDown: sources.filter(({ state }) => state === "down").length,
    healthScore: rules?.healthScore ?? 0,
    minority,
    packetsSent,
    packetsReceived,
    bytesSent,
    bytesReceived,
    gossipBytes,
    links: sockets.links.verified,
    dropped: { ...dropped, ...Object.fromEntries(refused) },
    messaging: messages.started?.stats(),
    services: isStarted ? services.stats() : undefined,
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
