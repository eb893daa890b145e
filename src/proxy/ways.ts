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
import { Unanswered } from "./unanswered.js";

/** ms between two counts of the requests that wait for replies. */
const TICK = 1_000;

/** Types whose peers only send: they can be told to go. */
const ONE_WAY: readonly ProxySocketType[] = ["pull", "sub", "xsub"];

/** What the ways hear and decide. */
export interface WaysHost {
  readonly capture: ((frames: Buffer[]) => void) | undefined;
  refused(from: ProxySideName, verdict: Exclude<Verdict, "pass">): void;
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
  readonly #ticking: NodeJS.Timeout | undefined;

  constructor(
    directions: readonly Direction[],
    types: Readonly<Record<ProxySideName, ProxySocketType>>,
    sides: Readonly<Record<ProxySideName, Opened>>,
    host: WaysHost,
  ) {
    this.all = directions.map((direction) => {
      const { from, to } = direction;
      const source = sides[from];
      const way = new Way(source.socket, sides[to].socket, {
        ...checksFor(types[from], types[to]),
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
