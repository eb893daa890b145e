/**
 * Valid pairs of socket types in a proxy, and their messages. Pure.
 *
 *   frontend  backend    passes
 *   router    dealer     requests, and their replies back
 *   dealer    dealer     messages both ways; pair can replace either
 *   xsub      xpub       messages one way, subscriptions the other
 *   pull      push|pub   messages one way
 *   sub       push|pub   messages one way, of the sub's topics
 *
 * Each pair can be reversed. Two routers would look up one side's peers at the other; a rep or req would pass one
 * request at a time, and none after a lost reply.
 */
import { InvalidArgumentError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { ProxySide } from "../sockets/pump.js";

export type { ProxySide };

export const SIDE_TYPES = {
  router: "Router",
  dealer: "Dealer",
  pair: "Pair",
  pull: "Pull",
  push: "Push",
  sub: "Subscriber",
  pub: "Publisher",
  xsub: "XSubscriber",
  xpub: "XPublisher",
} satisfies Readonly<Record<string, SocketTypeName>>;

export type ProxySocketType = keyof typeof SIDE_TYPES;

/** Types whose messages have topics. */
export const WITH_TOPICS: readonly string[] = ["sub", "xsub", "pub", "xpub"];
/** Types with separately delayable senders. */
export const WITH_SENDERS: readonly string[] = ["router", "dealer", "pair", "pull", "sub", "xsub"];

/** Types of frontend and backend of the pairs with a dedicated class. */
export const KINDS = {
  queue: ["router", "dealer"],
  forwarder: ["xsub", "xpub"],
  streamer: ["pull", "push"],
} as const;

/** `proxy`: pairs without a dedicated class. */
export type ProxyKind = keyof typeof KINDS | "proxy";

/** The types may come from a remote program. */
export function kindOf(frontend: string, backend: string): ProxyKind {
  for (const [kind, [one, other]] of Object.entries(KINDS))
    if (one === frontend && other === backend) return kind as ProxyKind;
  return "proxy";
}

export type Carries =
  /** A drain stops these first. */
  | "messages"
  /** A drain waits for these. */
  | "replies"
  | "subscriptions";

export interface Direction {
  readonly from: ProxySide;
  readonly to: ProxySide;
  readonly carries: Carries;
}

type Couple = readonly [ProxySocketType, ProxySocketType];

const COUPLES: readonly (readonly [...Couple, Carries, Carries | undefined])[] = [
  ["router", "dealer", "messages", "replies"],
  ["dealer", "dealer", "messages", "messages"],
  ["dealer", "pair", "messages", "messages"],
  ["pair", "pair", "messages", "messages"],
  ["xsub", "xpub", "messages", "subscriptions"],
  ["pull", "push", "messages", undefined],
  ["pull", "pub", "messages", undefined],
  ["sub", "push", "messages", undefined],
  ["sub", "pub", "messages", undefined],
];

/** Pairs as users write them: "router/dealer". */
export const LEGAL_PAIRS: readonly string[] = COUPLES.map(([one, other]) => `${one}/${other}`);

/** @throws InvalidArgumentError `EINVAL` with the valid types */
export function directionsOf(frontend: ProxySocketType, backend: ProxySocketType): readonly Direction[] {
  const there = { from: "frontend", to: "backend" } as const;
  const back = { from: "backend", to: "frontend" } as const;
  for (const [one, other, forth, reply] of COUPLES) {
    if (one === frontend && other === backend) return ways(there, forth, back, reply);
    if (one === backend && other === frontend) return ways(back, forth, there, reply);
  }
  throw new InvalidArgumentError(
    `A proxy cannot stand between ${String(frontend)} and ${String(backend)}; ` +
      `pairs that it can, either way round: ${LEGAL_PAIRS.join(", ")}`,
  );
}

type Ends = Omit<Direction, "carries">;

function ways(forth: Ends, carries: Carries, back: Ends, reply: Carries | undefined): readonly Direction[] {
  const directions: Direction[] = [{ ...forth, carries }];
  if (reply !== undefined) directions.push({ ...back, carries: reply });
  return directions;
}
