/** Statistics of a cluster on a node. */
import type { CLUSTER } from "../../statistics/cluster.js";
import type { StatisticsOf } from "../../statistics/rows.js";
import { MemberState } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";
import type { MemberMessagesStats } from "../messaging/member-types.js";
import type { MessagingStats } from "../messaging/messaging.js";
import type { RequestsStats } from "../requests/types.js";
import type { NamespaceParts } from "./namespace-parts.js";

/** Statistics of a cluster on a node. */
export type ClusterStats = StatisticsOf<typeof CLUSTER> & {
  /** `undefined` before the start, and without messages. */
  readonly messaging: MessagingStats | undefined;
  /** For `send` and `query`; `undefined` likewise. */
  readonly memberMessages: MemberMessagesStats | undefined;
  /** For `serve` and `request`; `undefined` likewise. */
  readonly requests: RequestsStats | undefined;
};

export function statsOf(now: number, parts: NamespaceParts): ClusterStats {
  const { membership: rules, counters, minority } = parts;
  const { discovery, sockets, messages, memberMessages, requests } = parts;
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
