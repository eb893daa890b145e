/**
 * Measurements that somebody asked for: how long a member's answer takes, and whether one member reaches another. They are
 * pings like any other, and what comes of them accuses nobody. Pure.
 *
 *   this node ──ping──> member: ack                                       a round trip
 *   this node ──ping-req──> helper ──ping──> member: ack, or nack         whether the helper reaches it
 */
import { ACK_OTHER, ACK_RELAYED } from "../wire/packets.js";
import type { Member } from "./members.js";
import type { Prober } from "./prober.js";
import type { Transmitter } from "./transmitter.js";

/** Measurements at a time; a further one is refused. */
export const MAX_MEASUREMENTS = 256;

/** What came of a measurement: it answered after so many ms; the helper does not reach it; nobody answered. */
export type Measured =
  | { readonly result: "reached"; readonly ms: number }
  | { readonly result: "unreached" }
  | { readonly result: "silent" };

interface Measurement {
  readonly target: Member;
  readonly helper: Member | undefined;
  readonly sentAt: number;
  deadline: number;
  readonly done: (measured: Measured) => void;
}

const SILENT: Measured = { result: "silent" };
const UNREACHED: Measured = { result: "unreached" };

export class Survey {
  readonly #prober: Prober;
  readonly #transmitter: Transmitter;
  readonly #measurements = new Map<number, Measurement>();
  /** No deadline is before it. */
  wake = Number.POSITIVE_INFINITY;

  constructor(prober: Prober, transmitter: Transmitter) {
    this.#prober = prober;
    this.#transmitter = transmitter;
  }

  /**
   * @param helper who is to ping the target; absent: this node does
   * @param done is called once, and must not call back
   * @returns whether there is room for it
   */
  measure(
    now: number,
    target: Member,
    helper: Member | undefined,
    timeout: number,
    done: (measured: Measured) => void,
  ): boolean {
    if (this.#measurements.size >= MAX_MEASUREMENTS) return false;
    const seq = this.#prober.nextSeq();
    this.#measurements.set(seq, { target, helper, sentAt: now, deadline: now + timeout, done });
    this.wake = Math.min(this.wake, now + timeout);
    if (helper === undefined) this.#transmitter.ping(target, seq, false);
    else this.#transmitter.ask(helper, target, seq);
    return true;
  }

  /** @returns whether the number is a measurement's */
  onAck(now: number, from: Member, seq: number, flags: number): boolean {
    const found = this.#measurements.get(seq);
    if (found === undefined) return false;
    const { target, helper, sentAt } = found;
    const isRelayed = (flags & ACK_RELAYED) !== 0;
    if (helper === undefined ? from !== target || isRelayed : from !== helper || !isRelayed) return true;
    this.#end(seq, (flags & ACK_OTHER) !== 0 ? UNREACHED : { result: "reached", ms: now - sentAt });
    return true;
  }

  /** @returns whether the number is a measurement's */
  onNack(from: Member, seq: number): boolean {
    const found = this.#measurements.get(seq);
    if (found === undefined) return false;
    if (from === found.helper) this.#end(seq, UNREACHED);
    return true;
  }

  tick(now: number): void {
    let wake = Number.POSITIVE_INFINITY;
    for (const [seq, { deadline }] of this.#measurements) {
      if (now >= deadline) this.#end(seq, SILENT);
      else wake = Math.min(wake, deadline);
    }
    this.wake = wake;
  }

  /** Every deadline moves: the process stood still. */
  shift(ms: number): void {
    for (const measurement of this.#measurements.values()) measurement.deadline += ms;
    this.wake += ms;
  }

  /** Nothing is measured any more. */
  stop(): void {
    for (const seq of [...this.#measurements.keys()]) this.#end(seq, SILENT);
  }

  #end(seq: number, measured: Measured): void {
    const found = this.#measurements.get(seq);
    this.#measurements.delete(seq);
    // The usual case: it was the only one.
    if (this.#measurements.size === 0) this.wake = Number.POSITIVE_INFINITY;
    found?.done(measured);
  }
}
