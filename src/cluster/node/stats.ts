import { MemberState } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import type { MemberMessagesStats } from "../messaging/member-types.js";
import type { MessagingStats } from "../messaging/messaging.js";
import type { RequestsStats } from "../requests/types.js";
import type { NamespaceParts } from "./namespace-parts.js";

/** Statistics of a cluster on a node. */
export interface ClusterStats {
  /** Live members, including this node. */
  readonly members: number;
  readonly suspects: number;
  /** Lost and left members until they are forgotten. */
  readonly gone: number;
  /** A draining member is not `alive`; `lost` and `left` ones count until they are forgotten. */
  readonly states: Readonly<Record<"alive" | "suspect" | "draining" | "lost" | "left", number>>;
  /** Probes by this node, and those without an answer. */
  readonly probes: number;
  readonly probesFailed: number;
  /** Suspicions at this node, and those that the member refuted. */
  readonly suspicions: number;
  readonly refuted: number;
  /** Accusations of this node that it refuted. */
  readonly refutations: number;
  /** ms since the membership view began to differ from others; 0: equal. */
  readonly differsFor: number;
  /**
   * Longest delay of the event loop in the last one to two minutes, ms. Delays below 50 to 100 ms, by the profile, may
   * be missed.
   */
  readonly loopDelay: number;
  /** Pauses of the event loop longer than half the probe timeout. */
  readonly stalls: number;
  readonly sourcesUp: number;
  readonly sourcesDown: number;
  /** Local health: 0 is healthy; up to 8 after the node was late or wrongly suspected. */
  readonly healthScore: number;
  readonly minority: boolean;
  /** For all clusters of the node. */
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes of datagrams sent only for gossip. */
  readonly gossipBytes: number;
  readonly links: number;
  /** Refused and dropped packets and connections by reason; those of the cluster's rules as `rules:REASON`. */
  readonly dropped: Readonly<Record<string, number>>;
  /** `undefined` before the start, after the end, and without messages. */
  readonly messaging: MessagingStats | undefined;
  /** For `send` and `query`; `undefined` likewise. */
  readonly memberMessages: MemberMessagesStats | undefined;
  /** For `serve` and `request`; `undefined` likewise. */
  readonly requests: RequestsStats | undefined;
}

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
