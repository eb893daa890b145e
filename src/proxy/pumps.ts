/**
 * A proxy's pumps, one per direction, with checks of envelopes and the count of unanswered requests.
 *
 *   request   client's routing id | frame…           from a ROUTER: its id, and at least one frame; few enough that the next
 *                                                    peer, which gets one more, does not end this proxy's connection
 *   reply     client's routing id | frame…           to a ROUTER: the receiver, and at least one frame
 *
 * Each proxy on the way adds a routing id before a request's delimiter (28/REQREP). With many ids a request has passed
 * this proxy repeatedly.
 */

import { MAX_FORWARDED_FRAMES } from "../core/memory.js";
import type { FrameBatch } from "../sockets/internal.js";
import { Pump, type PumpEffects } from "../sockets/pump.js";
import { CORE } from "../sockets/socket.js";
import type { ProxyEvents } from "./events.js";
import { type Direction, type ProxySide, type ProxySocketType, WITH_TOPICS } from "./pairs.js";
import type { SidePolicy } from "./policy/side-policy.js";
import { TopicGate } from "./policy/topics.js";
import type { ProxySocket } from "./proxy-socket.js";
import type { Capture } from "./proxy-sockets.js";

/** ms between counts of unanswered requests. */
const TICK = 1_000;
const KEPT = 60;
/** A drain can ask these types' peers, which only send, to leave. */
const ONE_WAY: readonly ProxySocketType[] = ["pull", "sub", "xsub"];
/** More routing ids than any real chain of proxies adds. */
const MAX_HOPS = 32;

export interface ProxyPump extends Direction {
  readonly pump: Pump;
  readonly source: ProxySocket;
  readonly oneWay: boolean;
}

export class Pumps {
  readonly all: readonly ProxyPump[];
  readonly #replies: ProxyPump | undefined;
  readonly #pending = new PendingReplies();
  /** Set when messages have topics. `#upstream`: the side whose publishers get the subscriptions. */
  readonly #gate: TopicGate | undefined;
  readonly #upstream: ProxySocket | undefined;
  readonly #ticking: NodeJS.Timeout | undefined;

  constructor(
    directions: readonly Direction[],
    types: Readonly<Record<ProxySide, ProxySocketType>>,
    sides: Readonly<Record<ProxySide, ProxySocket>>,
    policies: Readonly<Record<ProxySide, SidePolicy>>,
    { capture, events }: { readonly capture: Capture | undefined; readonly events: ProxyEvents },
  ) {
    const names: readonly ProxySide[] = ["frontend", "backend"];
    const gated = names.filter((name) => WITH_TOPICS.includes(types[name]));
    this.#gate = gated.length === 0 ? undefined : new TopicGate(gated.map((name) => policies[name]));
    const upstream = names.find((name) => types[name] === "xsub" || types[name] === "sub");
    this.#upstream = upstream === undefined ? undefined : sides[upstream];
    const { plan } = this.#upstream ?? {};
    for (const prefix of plan?.type === "sub" ? plan.subscribe : []) {
      const bytes = Buffer.from(prefix);
      if (this.#gate?.change(bytes, true) !== false) this.#upstream?.subscribe(bytes, true);
    }
    this.all = directions.map((direction) => {
      const { from, to } = direction;
      const source = sides[from];
      const pump = new Pump(source.socket, sides[to].socket, {
        ...(this.#gate === undefined ? checksFor(types[from], types[to]) : topicsFor(this.#gate, direction)),
        throttle: policies[from].throttle,
        capture: capture && ((frames) => capture.take(frames)),
        refused: (verdict) => {
          // The policy counts its own refusals.
          if (verdict !== "policy") events.messageRefused(from, verdict as "malformed" | "loop");
        },
        failed: (error) => events.messageFailed(error),
      });
      return { ...direction, pump, source, oneWay: ONE_WAY.includes(types[from]) };
    });
    this.#replies = this.all.find(({ carries }) => carries === "replies");
    if (this.#replies === undefined) return;
    this.#ticking = setInterval(() => this.#pending.tick(this.#asked, this.#answered), TICK).unref();
  }

  from(side: ProxySide): Pump | undefined {
    return this.all.find(({ from }) => from === side)?.pump;
  }

  to(side: ProxySide): Pump | undefined {
    return this.all.find(({ to }) => to === side)?.pump;
  }

  /** Requests of the last minute without a reply so far. */
  get unanswered(): number {
    return this.#pending.count(this.#asked, this.#answered);
  }

  policyChanged(): void {
    for (const { pump } of this.all) pump.retry();
    for (const { prefix, on } of this.#gate?.reconsider() ?? []) this.#upstream?.subscribe(prefix, on);
  }

  /** Never rejects. */
  async run(): Promise<void> {
    await Promise.all(this.all.map(({ pump }) => pump.run()));
  }

  pause(): void {
    for (const { pump } of this.all) pump.pause();
  }

  resume(): void {
    for (const { pump } of this.all) pump.resume();
  }

  end(): void {
    clearInterval(this.#ticking);
    for (const { pump } of this.all) pump.end();
  }

  get #asked(): number {
    return this.#replies?.source.socket[CORE].counters.delivered ?? 0;
  }

  get #answered(): number {
    return this.#replies?.source.socket[CORE].counters.received ?? 0;
  }
}

function checksFor(
  from: ProxySocketType,
  to: ProxySocketType,
): Pick<PumpEffects, "check" | "needsInspection"> {
  if (from === "router") return { check: checkRequest, needsInspection: requestsNeedInspection };
  if (to === "router") return { check: checkReply, needsInspection: repliesNeedInspection };
  return { check: undefined, needsInspection: undefined };
}

function topicsFor(
  gate: TopicGate,
  { carries }: Direction,
): Pick<PumpEffects, "check" | "needsInspection" | "filter"> {
  const passes = carries === "subscriptions" ? gate.checkUpstream : gate.check;
  return {
    check: (frames) => (passes(frames) ? "pass" : "policy"),
    needsInspection: () => false,
    filter: carries === "subscriptions" ? undefined : gate.filter,
  };
}

/**
 * Counts requests without a reply from totals, once per tick. Pure.
 *
 * Replies count for the newest requests, so a dead worker's request becomes the oldest and is forgotten after `KEPT`
 * ticks.
 */
export class PendingReplies {
  /** Unanswered requests by tick, newest last. */
  readonly #ticks: number[] = [];
  #asked = 0;
  #answered = 0;

  tick(asked: number, answered: number): void {
    this.#ticks.push(asked - this.#asked);
    this.#take(answered - this.#answered);
    this.#asked = asked;
    this.#answered = answered;
    if (this.#ticks.length > KEPT) this.#ticks.shift();
  }

  count(asked: number, answered: number): number {
    let open = asked - this.#asked - (answered - this.#answered);
    for (const requests of this.#ticks) open += requests;
    return Math.max(0, open);
  }

  #take(replies: number): void {
    let left = replies;
    for (let i = this.#ticks.length - 1; i >= 0 && left > 0; i--) {
      const taken = Math.min(left, this.#ticks[i] as number);
      this.#ticks[i] = (this.#ticks[i] as number) - taken;
      left -= taken;
    }
  }
}

export type Verdict = "pass" | "malformed" | "loop" | "policy";

export type Check = (frames: readonly Buffer[]) => Verdict;

/** Without a delimiter, as from a DEALER, each frame counts as a hop. */
export function checkRequest(frames: readonly Buffer[]): Verdict {
  if (frames.length < 2 || frames.length > MAX_FORWARDED_FRAMES) return "malformed";
  if (frames.length <= MAX_HOPS) return "pass";
  for (let i = 0; i <= MAX_HOPS; i++) if ((frames[i] as Buffer).length === 0) return "pass";
  return "loop";
}

export function checkReply(frames: readonly Buffer[]): Verdict {
  return frames.length < 2 || (frames[0] as Buffer).length === 0 ? "malformed" : "pass";
}

/** Whether each message of the batch needs `checkRequest`. */
function requestsNeedInspection(batch: FrameBatch): boolean {
  return batch.tally.mostFrames + (batch.first === undefined ? 0 : 1) > MAX_HOPS;
}

/** Whether `checkReply` would refuse some. */
function repliesNeedInspection(batch: FrameBatch): boolean {
  return batch.first === undefined ? !batch.allHaveAddress() : batch.first.length === 0;
}
