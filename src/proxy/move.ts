/**
 * Moves messages from one socket to another: the one loop that every message of a proxy goes through.
 *
 *   from --take--> check --> capture --> offer --> to
 *     ^                                    | mute: the message waits, and nothing is taken meanwhile
 *     +------------------------------------+
 *
 * Where both engines can, and nobody has to see the messages, they pass undecoded, a stretch at a time
 * (sockets/relay.ts). Else one by one, as above: a message is taken only when the last one has been passed on. Either
 * way nothing is taken without room for it but what is in hand, and everything else waits in the sockets, where the
 * high-water marks bound it and the peers feel it. As long as messages are there and room is, they pass within one turn
 * of the event loop, without a promise: `tryReceive` and `trySend` are synchronous, and say when the loop has to turn.
 *
 * Its gate:   open ---- hold ----> held      paused: the message in hand waits, too
 *               ^------ open -------|
 *             open ---- finish(n) -> takes n more messages, then it ends
 */
import { ClosedError } from "../core/errors.js";
import type { Inbox } from "../sockets/inbox.js";
import { byteLengthOf } from "../sockets/message.js";
import { type EncodedMessages, Relay, type RelayLooks, relays } from "../sockets/relay.js";
import { CORE, type Socket } from "../sockets/socket.js";
import type { Check, Verdict } from "./envelopes.js";

/** What a way counts beside what its sockets count. */
export interface PumpCounts {
  /** Bytes of messages that the other socket took, and had nobody for. */
  lostBytes: number;
  /** Messages that were dropped here, by reason. */
  readonly dropped: { malformed: number; loop: number; failed: number };
}

/** What a way hears and decides. */
export interface PumpEffects extends RelayLooks {
  /** Absent: everything passes. What `sift` would take out it refuses. */
  readonly check: Check | undefined;
  /** Picks the stretches of undecoded messages whose messages are to be checked one by one. */
  readonly isSuspect?: ((stretch: EncodedMessages) => boolean) | undefined;
  /** Says how much may be taken; absent: everything. */
  readonly throttle?: PumpThrottle | undefined;
  /** A copy for the tap; absent: there is none. */
  readonly capture: ((frames: Buffer[]) => void) | undefined;
  /** A message was dropped by the check. */
  refused(verdict: Exclude<Verdict, "pass" | "policy">, frames: readonly Buffer[]): void;
  /** A message could not be sent for a reason that nobody has foreseen; it is dropped, and the way goes on. */
  failed(error: unknown): void;
}

/** What may be taken at this moment. */
export interface PumpThrottle {
  readonly messages: number;
  readonly bytes: number;
  /** ms to wait, where that is nothing. */
  readonly wait: number;
  spend(messages: number, bytes: number): void;
  /** Messages are there, and have to wait. */
  held(): void;
}

const FOREVER = { timeout: -1 } as const;

/** Messages that pass undecoded between two turns of the event loop. */
const MAX_TURN = 4_000;

export class Pump {
  readonly counts: PumpCounts = {
    lostBytes: 0,
    dropped: { malformed: 0, loop: 0, failed: 0 },
  };
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #host: PumpEffects;
  /** Whether the other socket drops what it cannot route: then not all that it takes is passed on. */
  readonly #routes: boolean;
  #open = true;
  #ended = false;
  /** Messages that may be taken yet. */
  #quota = Number.POSITIVE_INFINITY;
  #inHand = 0;
  /** A message was asked for, and is waited for or on its way. */
  #asking = false;
  #onOpen: (() => void) | undefined = undefined;
  /** Ends a wait for the throttle. */
  #onRest: (() => void) | undefined = undefined;
  /** Where both sockets' engines can: messages pass undecoded. */
  readonly #relay: Relay | undefined;
  /** Messages of a stretch that have to be checked one by one. */
  #unchecked: Buffer[][] = [];

  constructor(from: Socket, to: Socket, host: PumpEffects) {
    this.#from = from;
    this.#to = to;
    this.#host = host;
    this.#routes = to[CORE].typeName === "Router";
    // A tap needs each message by itself.
    const { check, capture, isSuspect } = host;
    const undecoded =
      capture === undefined && (check === undefined || isSuspect !== undefined) && relays(from, to);
    this.#relay = undecoded ? new Relay(from, to, host) : undefined;
  }

  /** Messages that were taken and not passed on: 0 or 1. */
  get inFlight(): number {
    // One that was asked for and is not waited for any more comes with the next turn of the event loop.
    if (this.#relay !== undefined) return this.#stretched + this.#inHand;
    const onItsWay = this.#asking && this.#from[CORE].inbox.waiting === 0;
    return onItsWay ? 1 : this.#inHand;
  }

  /** Messages of a stretch that were taken and are not passed on. */
  get #stretched(): number {
    return (this.#relay?.inHand ?? 0) + this.#unchecked.length;
  }

  /** Messages that are still to be taken, once it finishes. */
  get quota(): number {
    return this.#quota;
  }

  /** Stops taking messages. One that came just now waits in hand. */
  pause(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#endWait();
  }

  /** Goes on after {@link pause}. */
  resume(): void {
    if (this.#open) return;
    this.#open = true;
    this.#wake();
  }

  /** The throttle has changed. */
  retry(): void {
    this.#onRest?.();
  }

  /** Takes so many messages, those that are there, and then no more. */
  finish(messages: number): void {
    if (this.#quota !== Number.POSITIVE_INFINITY) return;
    this.#quota = messages;
    this.#endWait(); // It looks at the quota, and begins anew if that is not used up.
  }

  /** Takes nothing more, and ends; a message that waits for room is given up when its socket closes. */
  end(): void {
    this.#ended = true;
    this.#endWait();
    this.#wake();
  }

  /** Settles when it has ended; never rejects. */
  async run(): Promise<void> {
    while (!this.#ended && (this.#quota > 0 || this.#stretched > 0)) {
      try {
        await this.#turn();
      } catch (error) {
        this.#inHand = 0;
        if (this.#over(error)) return;
        this.counts.dropped.failed += 1;
        this.#host.failed(error);
        // Whatever it is, it must not keep the event loop from turning.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  /** Moves messages until there are none, the gate closes, or the event loop has to turn. */
  async #turn(): Promise<void> {
    const { inbox } = this.#from[CORE];
    while (!this.#open) {
      await this.#opened();
      if (this.#ended) return;
    }
    if (this.#relay !== undefined) return this.#passStretches(this.#relay);
    if (this.#isThrottled) return this.#rest();
    let message = inbox.tryReceive() as Buffer[] | undefined;
    if (message === undefined) {
      message = await this.#next(inbox);
      if (message === undefined) return;
      // It came at the moment of a pause.
      while (!this.#open && !this.#ended) {
        this.#inHand = 1;
        await this.#opened();
      }
      if (this.#ended) return;
    }
    while (message !== undefined) {
      this.#quota -= 1;
      this.#host.throttle?.spend(1, byteLengthOf(message));
      if (!this.#pass(message)) await this.#wait(message);
      if (!this.#open || this.#ended || this.#quota <= 0 || this.#isThrottled) return;
      message = inbox.tryReceive() as Buffer[] | undefined;
    }
  }

  /** Moves stretches of messages that nobody decodes, until there are none or the event loop has to turn. */
  async #passStretches(relay: Relay): Promise<void> {
    const message = this.#unchecked.shift();
    if (message !== undefined) {
      if (!this.#pass(message)) await this.#wait(message);
      return;
    }
    if (relay.inHand === 0 && this.#isThrottled) return this.#rest();
    const { throttle } = this.#host;
    const most = Math.min(MAX_TURN, this.#quota, throttle?.messages ?? MAX_TURN);
    const { taken, bytes, lostBytes, why } = relay.move(most, throttle?.bytes);
    this.#quota -= taken;
    throttle?.spend(taken, bytes);
    this.counts.lostBytes += lostBytes;
    if (why === "mute") await relay.writable(FOREVER);
    else if (why === "suspect") this.#unchecked = relay.surrender();
    else if (why === "enough") await new Promise((resolve) => setImmediate(resolve));
    else await this.#readable(relay);
  }

  get #isThrottled(): boolean {
    return this.#host.throttle?.messages === 0;
  }

  /** Takes nothing until the throttle allows it. The timer holds the process: a proxy that waits has something to do. */
  async #rest(): Promise<void> {
    const { throttle } = this.#host;
    if (throttle === undefined) return;
    if (this.#from[CORE].engine.readable) throttle.held();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, throttle.wait);
      this.#onRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onRest = undefined;
  }

  async #readable(relay: Relay): Promise<void> {
    try {
      await relay.readable(FOREVER);
    } catch (error) {
      if (this.#from.closed || !(error instanceof ClosedError)) throw error;
    }
  }

  /** @returns `undefined` when the wait was ended */
  async #next(inbox: Inbox<unknown>): Promise<Buffer[] | undefined> {
    this.#asking = true;
    try {
      return (await inbox.receive(FOREVER)) as Buffer[];
    } catch (error) {
      if (this.#from.closed || !(error instanceof ClosedError)) throw error;
      return undefined;
    } finally {
      this.#asking = false;
    }
  }

  /** Nobody else receives at its socket, so all waits there are its own. An abort signal would cost more than the wait. */
  #endWait(): void {
    this.#onRest?.();
    if (this.#from.closed) return;
    this.#from[CORE].inbox.abandon();
    this.#relay?.abandon();
  }

  /** @returns whether the message is off this way's hands */
  #pass(message: Buffer[]): boolean {
    const { counts } = this;
    const { check, capture } = this.#host;
    this.#inHand = 1;
    if (check !== undefined) {
      const verdict = check(message);
      if (verdict !== "pass") {
        this.#inHand = 0;
        if (verdict === "policy") return true; // Whose it is counts it.
        counts.dropped[verdict] += 1;
        this.#host.refused(verdict, message);
        return true;
      }
    }
    if (capture !== undefined) capture(message);
    const { outbox, counters } = this.#to[CORE];
    const before = this.#routes ? unrouted(counters.dropped) : 0;
    if (!outbox.trySend(message)) return false;
    this.#inHand = 0;
    if (this.#routes && unrouted(counters.dropped) !== before) counts.lostBytes += byteLengthOf(message);
    return true;
  }

  async #wait(message: Buffer[]): Promise<void> {
    const core = this.#to[CORE];
    core.assertOpen(); // A closed socket would let it wait for ever.
    await core.outbox.send(message, FOREVER, false);
    this.#inHand = 0;
  }

  #opened(): Promise<void> {
    return new Promise((resolve) => {
      this.#onOpen = resolve;
    });
  }

  #wake(): void {
    this.#onOpen?.();
    this.#onOpen = undefined;
  }

  /** Whether it failed because it is to end, or one of its sockets has. */
  #over(error: unknown): boolean {
    return this.#ended || this.#from.closed || this.#to.closed || error instanceof ClosedError;
  }
}

/** Messages that a ROUTER took and had nobody for. */
function unrouted(dropped: Readonly<Record<"unroutable" | "peer-full", number>>): number {
  return dropped.unroutable + dropped["peer-full"];
}
