/**
 * Which sockets a proxy can stand between, and what passes between them. Pure.
 *
 *   frontend  backend    passes
 *   router    dealer     requests, and their replies back
 *   dealer    dealer     messages both ways; pair in place of either, too
 *   xsub      xpub       messages one way, subscriptions the other
 *   pull      push|pub   messages one way
 *   sub       push|pub   messages one way, of the topics that the sub asks for
 *
 * Each can be turned round. A router on both sides would look for one side's peers at the other; a rep or a req
 * could pass one request at a time, and none any more after the first lost reply.
 */
import { InvalidArgumentError } from "../core/errors.js";
import type { SocketTypeName } from "../core/socket-type.js";
import type { ProxySide } from "../sockets/pump.js";

export type { ProxySide };

/** The short name of a side's socket type. */
export type ProxySocketType =
  | "router"
  | "dealer"
  | "pair"
  | "pull"
  | "push"
  | "sub"
  | "pub"
  | "xsub"
  | "xpub";

/** The socket types of a proxy's sides, by their short names. */
export const SIDE_TYPES: Readonly<Record<ProxySocketType, SocketTypeName>> = {
  router: "Router",
  dealer: "Dealer",
  pair: "Pair",
  pull: "Pull",
  push: "Push",
  sub: "Subscriber",
  pub: "Publisher",
  xsub: "XSubscriber",
  xpub: "XPublisher",
};

/** Pairs with a class of their own. */
const KINDS = { "router dealer": "queue", "xsub xpub": "forwarder", "pull push": "streamer" } as const;

/** What a proxy is by its sides' types; one without a class of its own is a `proxy`. */
export type ProxyKind = (typeof KINDS)[keyof typeof KINDS] | "proxy";

/** The kind of a proxy between sockets of these types, which may come from a remote program. */
export function kindOf(frontend: string, backend: string): ProxyKind {
  const pair = `${frontend} ${backend}`;
  return Object.hasOwn(KINDS, pair) ? KINDS[pair as keyof typeof KINDS] : "proxy";
}

/** What a direction carries. */
export type Carries =
  /** What peers hand in: a drain closes this first. */
  | "messages"
  /** Replies to requests that went the other way: they are waited for. */
  | "replies"
  /** What subscribers ask for, on its way to the publishers. */
  | "subscriptions";

/** A way through the proxy. */
export interface Direction {
  readonly from: ProxySide;
  readonly to: ProxySide;
  readonly carries: Carries;
}

type Couple = readonly [ProxySocketType, ProxySocketType];

/** What the first gives the second, and what the second gives the first. */
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

/** All pairs, as a user writes them: "router/dealer". */
export const LEGAL_PAIRS: readonly string[] = COUPLES.map(([one, other]) => `${one}/${other}`);

/**
 * The ways through a proxy between sockets of these types.
 *
 * @throws InvalidArgumentError `EINVAL` for types that do not fit each other, naming those that do
 */
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
