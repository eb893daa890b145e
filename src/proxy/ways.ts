/** The ways through a proxy, all together: what each checks, and how many requests wait for replies. */
import { CORE } from "../sockets/socket.js";
import {
  type Check,
  checkReply,
  checkRequest,
  suspectReplies,
  suspectRequests,
  type Verdict,
} from "./envelopes.js";
import { Way, type WayHost } from "./move.js";
import type { Opened } from "./opened.js";
import type { Direction, ProxySideName, ProxySocketType } from "./pairs.js";
import type { SidePolicy } from "./policy/side-policy.js";
import { TopicGate } from "./policy/topic-gate.js";
import { Unanswered } from "./unanswered.js";

/** ms between two counts of the requests that wait for replies. */
const TICK = 1_000;

/** Types whose peers only send: they can be told to go. */
const ONE_WAY: readonly ProxySocketType[] = ["pull", "sub", "xsub"];

/** Types whose messages begin with a topic. */
const WITH_TOPICS: readonly ProxySocketType[] = ["sub", "xsub", "pub", "xpub"];

/** What the ways hear and decide. */
export interface WaysHost {
  readonly capture: ((frames: Buffer[]) => void) | undefined;
  refused(from: ProxySideName, verdict: Exclude<Verdict, "pass" | "policy">): void;
  failed(error: unknown): void;
}

/** One of them. */
export interface ProxyWay extends Direction {
  readonly way: Way;
  readonly source: Opened;
  /** Whether the peers that it comes from only send. */
  readonly oneWay: boolean;
}

export class Ways {
  readonly all: readonly ProxyWay[];
  readonly #replies: ProxyWay | undefined;
  readonly #unanswered = new Unanswered();
  /** Where messages have topics, and the side whose publishers hear of subscriptions. */
  readonly #gate: TopicGate | undefined;
  readonly #upstream: Opened | undefined;
  readonly #ticking: NodeJS.Timeout | undefined;

  constructor(
    directions: readonly Direction[],
    types: Readonly<Record<ProxySideName, ProxySocketType>>,
    sides: Readonly<Record<ProxySideName, Opened>>,
    policies: Readonly<Record<ProxySideName, SidePolicy>>,
    host: WaysHost,
  ) {
    const names: readonly ProxySideName[] = ["frontend", "backend"];
    const gated = names.filter((name) => WITH_TOPICS.includes(types[name]));
    this.#gate = gated.length === 0 ? undefined : new TopicGate(gated.map((name) => policies[name]));
    const upstream = names.find((name) => types[name] === "xsub" || types[name] === "sub");
    this.#upstream = upstream === undefined ? undefined : sides[upstream];
    const { plan } = this.#upstream ?? {};
    for (const prefix of plan?.type === "sub" ? plan.subscribe : []) this.#ask(Buffer.from(prefix));
    this.all = directions.map((direction) => {
      const { from, to } = direction;
      const source = sides[from];
      const way = new Way(source.socket, sides[to].socket, {
        ...(this.#gate === undefined ? checksFor(types[from], types[to]) : topicsFor(this.#gate, direction)),
        throttle: policies[from].throttle,
        capture: host.capture,
        refused: (verdict) => host.refused(from, verdict),
        failed: (error) => host.failed(error),
      });
      return { ...direction, way, source, oneWay: ONE_WAY.includes(types[from]) };
    });
    this.#replies = this.all.find(({ carries }) => carries === "replies");
    if (this.#replies === undefined) return;
    this.#ticking = setInterval(() => this.#unanswered.tick(this.#asked, this.#answered), TICK).unref();
  }

  /** The way that comes from a side. */
  from(side: ProxySideName): Way | undefined {
    return this.all.find(({ from }) => from === side)?.way;
  }

  /** The way that leads to a side. */
  to(side: ProxySideName): Way | undefined {
    return this.all.find(({ to }) => to === side)?.way;
  }

  /** Requests of the last minute that were passed on and have no reply yet. */
  get unanswered(): number {
    return this.#unanswered.count(this.#asked, this.#answered);
  }

  /** The policies have changed. */
  repolice(): void {
    for (const { way } of this.all) way.retry();
    for (const { prefix, on } of this.#gate?.reconsider() ?? []) this.#upstream?.subscribe(prefix, on);
  }

  /** Moves messages; settles when all ways have ended, never rejects. */
  async run(): Promise<void> {
    await Promise.all(this.all.map(({ way }) => way.run()));
  }

  hold(): void {
    for (const { way } of this.all) way.hold();
  }

  open(): void {
    for (const { way } of this.all) way.open();
  }

  end(): void {
    clearInterval(this.#ticking);
    for (const { way } of this.all) way.end();
  }

  /** What a side of type sub was told to ask for. */
  #ask(prefix: Buffer): void {
    if (this.#gate?.change(prefix, true) !== false) this.#upstream?.subscribe(prefix, true);
  }

  get #asked(): number {
    return this.#replies?.source.socket[CORE].counters.delivered ?? 0;
  }

  get #answered(): number {
    return this.#replies?.source.socket[CORE].counters.received ?? 0;
  }
}

function checksFor(from: ProxySocketType, to: ProxySocketType): Pick<WayHost, "check" | "isSuspect"> {
  if (from === "router") return { check: checkRequest as Check, isSuspect: suspectRequests };
  if (to === "router") return { check: checkReply as Check, isSuspect: suspectReplies };
  return { check: undefined, isSuspect: undefined };
}

function topicsFor(gate: TopicGate, { carries }: Direction): Pick<WayHost, "check" | "isSuspect" | "sift"> {
  const passes = carries === "subscriptions" ? gate.checkUpstream : gate.check;
  return {
    check: (frames) => (passes(frames) ? "pass" : "policy"),
    isSuspect: () => false,
    sift: carries === "subscriptions" ? undefined : gate.sift,
  };
}
