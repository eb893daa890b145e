/**
 * Probes, which show whether a member is alive and receives this node's packets.
 *
 *   DIRECT ──no ack within probeTimeout──> INDIRECT ──none by the end of the interval──> failed
 *     │ └─────────heard─────> AGAIN ──no ack────^ └──heard, here and once before──> unreached
 *     └───────────────────────ack, from it or through others────────────────────────> succeeded
 *
 * The probe of a heard member does not fail. Without an ack the member is reachable one way (asymmetric): it stays a
 * member, and is probed until it acks. Members are probed in shuffled rounds, and out of turn for a reason.
 */
import { MAX_PROBES } from "../bounds.js";
import { AckFlag } from "../wire/packets.js";
import type { Context } from "./context.js";
import { type Member, MemberState } from "./members.js";

class Probe {
  readonly seq: number;
  readonly member: Member;
  readonly sentAt: number;
  deadline: number;
  indirect = false;
  pingedAt: number;
  /** Attempts without an ack, and signs of life meanwhile. */
  steps = 0;
  unanswered = 0;
  readonly silent = new Set<Member>();
  wasAsked = false;
  deathReason: number;

  constructor(seq: number, member: Member, now: number, deadline: number, deathReason: number) {
    this.seq = seq;
    this.member = member;
    this.sentAt = now;
    this.pingedAt = now;
    this.deadline = deadline;
    this.deathReason = deathReason;
  }
}

interface Relay {
  readonly address: string;
  readonly seq: number;
  readonly deadline: number;
}

export class Prober {
  readonly #context: Context;
  readonly #onFailed: (member: Member, deathReason: number) => void;
  readonly #probes = new Map<number, Probe>();
  readonly #relays = new Map<number, Relay>();
  #round: Member[] = [];
  #at = 0;
  /** Members reachable one way, including dead ones. */
  readonly #oneWay = new Set<Member>();
  #nextRetry = Number.POSITIVE_INFINITY;
  #seq: number;
  #wake = Number.POSITIVE_INFINITY;
  probes = 0;
  failures = 0;
  nextProbe: number;

  /** @param onFailed the probed member gave no sign of life */
  constructor(context: Context, onFailed: (member: Member, deathReason: number) => void) {
    this.#context = context;
    this.#onFailed = onFailed;
    this.#seq = Math.floor(context.random() * 2 ** 32);
    this.nextProbe = Number.POSITIVE_INFINITY;
    this.start(context.now);
  }

  start(now: number): void {
    const { probeInterval } = this.#context.profile;
    if (probeInterval > 0) this.nextProbe = now + this.#context.random() * probeInterval;
    if (this.#oneWay.size > 0) this.#nextRetry = now;
  }

  stop(): void {
    this.#probes.clear();
    this.#relays.clear();
    this.#wake = Number.POSITIVE_INFINITY;
    this.nextProbe = Number.POSITIVE_INFINITY;
    this.#nextRetry = Number.POSITIVE_INFINITY;
  }

  nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0;
    return this.#seq;
  }

  wake(): number {
    return Math.min(this.#wake, this.nextProbe, this.#nextRetry);
  }

  /** A random place, and one turn per round even for a flapping member. */
  #added(member: Member): void {
    if (member.inRound) return;
    member.inRound = true;
    const at = this.#at + Math.floor(this.#context.random() * (this.#round.length - this.#at + 1));
    const there = this.#round[at];
    if (there === undefined) this.#round.push(member);
    else {
      this.#round[at] = member;
      this.#round.push(there);
    }
  }

  /** @param isDoubted whether the member must answer to count as reachable */
  arrived(now: number, member: Member, isDoubted: boolean): void {
    this.#added(member);
    if (!isDoubted && this.#oneWay.size === 0) return;
    member.isOneWay = true;
    this.#oneWay.add(member);
    this.#nextRetry = Math.min(this.#nextRetry, now + this.#context.profile.redialInterval);
    this.probe(now, member, 0);
  }

  /** The member received a packet of this node. */
  answered(now: number, member: Member): void {
    if (!member.isOneWay) return;
    this.#oneWay.delete(member);
    member.isOneWay = false;
    // Other members may be reachable now, too.
    this.#nextRetry = this.#oneWay.size > 0 ? now : Number.POSITIVE_INFINITY;
    this.#context.effects.event({ type: "reached", member });
  }

  /** Probes out of turn. @param deathReason if the probe fails; 0: only suspicion */
  probe(now: number, member: Member, deathReason: number): void {
    if (this.#context.profile.probeInterval === 0 && deathReason === 0) return;
    for (const probe of this.#probes.values()) {
      if (probe.member !== member) continue;
      if (deathReason !== 0 && probe.deathReason === 0) probe.deathReason = deathReason;
      return;
    }
    if (this.#probes.size < MAX_PROBES) this.#start(now, member, deathReason);
  }

  /** @returns whether the ack answers a probe, and its sender may give it */
  onAck(now: number, from: Member, seq: number, relayed: boolean): boolean {
    this.answered(now, from);
    const probe = this.#probes.get(seq);
    if (probe !== undefined) {
      if (from !== probe.member && !relayed) return false;
      this.#end(probe);
      this.#context.changeHealth(-1);
      this.answered(now, probe.member);
      return true;
    }
    const relay = this.#relays.get(seq);
    if (relay === undefined) return false;
    this.#relays.delete(seq);
    this.#context.answer(relay.address, relay.seq, AckFlag.RELAYED, true);
    return true;
  }

  memberOf(seq: number): Member | undefined {
    return this.#probes.get(seq)?.member;
  }

  onNack(now: number, from: Member, seq: number): void {
    this.answered(now, from);
    this.#probes.get(seq)?.silent.delete(from);
  }

  relay(now: number, member: Member, address: string, seq: number): void {
    if (this.#relays.size >= 256) {
      this.#context.answer(address, seq, 0, false);
      return;
    }
    const own = this.nextSeq();
    const { probeInterval, probeTimeout } = this.#context.profile;
    const deadline = now + Math.max(probeTimeout / 2, (probeInterval - probeTimeout) * 0.6);
    this.#relays.set(own, { address, seq, deadline });
    this.#wake = Math.min(this.#wake, deadline);
    this.#context.ping(member, own, false);
  }

  shift(ms: number): void {
    for (const probe of this.#probes.values()) probe.deadline += ms;
    for (const [seq, relay] of this.#relays)
      this.#relays.set(seq, { ...relay, deadline: relay.deadline + ms });
    this.#wake += ms;
  }

  tick(now: number): void {
    if (now >= this.#wake) this.#expire(now);
    if (now >= this.#nextRetry) this.#retry(now);
    if (now < this.nextProbe) return;
    this.nextProbe = Math.max(
      now,
      this.nextProbe + this.#context.scaled(this.#context.profile.probeInterval),
    );
    const member = this.#next();
    if (member !== undefined && this.#probes.size < MAX_PROBES) this.#start(now, member, 0);
  }

  #start(now: number, member: Member, deathReason: number): void {
    const seq = this.nextSeq();
    this.probes += 1;
    const deadline = now + this.#context.scaled(this.#context.profile.probeTimeout);
    this.#probes.set(seq, new Probe(seq, member, now, deadline, deathReason));
    this.#wake = Math.min(this.#wake, deadline);
    this.#context.ping(member, seq, false);
  }

  #end(probe: Probe): void {
    this.#probes.delete(probe.seq);
    if (this.#probes.size === 0 && this.#relays.size === 0) this.#wake = Number.POSITIVE_INFINITY;
  }

  #expire(now: number): void {
    // Ended probes may start others with new deadlines.
    this.#wake = Number.POSITIVE_INFINITY;
    let wake = Number.POSITIVE_INFINITY;
    for (const probe of [...this.#probes.values()]) {
      if (!probe.member.isLive) this.#end(probe);
      else if (probe.deathReason !== 0 && this.#isHeard(probe)) this.#succeed(probe);
      else if (now >= probe.deadline) this.#step(now, probe);
      if (this.#probes.has(probe.seq)) wake = Math.min(wake, probe.deadline);
    }
    for (const [seq, relay] of this.#relays) {
      if (now < relay.deadline) wake = Math.min(wake, relay.deadline);
      else {
        this.#relays.delete(seq);
        this.#context.answer(relay.address, relay.seq, 0, false);
      }
    }
    this.#wake = Math.min(this.#wake, wake);
  }

  #step(now: number, probe: Probe): void {
    const { member } = probe;
    probe.steps += 1;
    if (member.lastHeard > probe.pingedAt) {
      probe.unanswered += 1;
      if (!probe.indirect && probe.unanswered === 1) this.#again(now, probe);
      else if (!probe.indirect || probe.unanswered < 2) this.#widen(now, probe);
      else this.#giveUpAnswers(now, probe);
    } else if (!probe.indirect || (probe.unanswered > 0 && probe.steps < 5)) this.#widen(now, probe);
    else if (this.#isHeard(probe)) this.#succeed(probe);
    else this.#fail(now, probe);
  }

  #succeed(probe: Probe): void {
    this.#end(probe);
    this.#context.changeHealth(-1);
  }

  /** After a death reason, a packet that arrives at once may be older than the probe. */
  #isHeard({ member, sentAt, deathReason }: Probe): boolean {
    return member.lastHeard > sentAt + (deathReason === 0 ? 0 : this.#context.profile.probeTimeout / 2);
  }

  get #rest(): number {
    return this.#context.scaled(
      Math.max(1, this.#context.profile.probeInterval - this.#context.profile.probeTimeout),
    );
  }

  #again(now: number, probe: Probe): void {
    probe.pingedAt = now;
    probe.deadline = now + this.#rest;
    this.#context.ping(probe.member, probe.seq, false);
  }

  #giveUpAnswers(now: number, probe: Probe): void {
    const { member } = probe;
    this.#end(probe);
    this.#doubtHelpers(now, probe);
    if (member.isOneWay) return;
    member.isOneWay = true;
    this.#oneWay.add(member);
    this.#nextRetry = Math.min(this.#nextRetry, now + this.#context.profile.redialInterval);
    this.#context.effects.event({ type: "one-way", member });
  }

  #retry(now: number): void {
    let left = Math.min(8, this.#oneWay.size);
    for (const member of this.#oneWay) {
      this.#oneWay.delete(member);
      // Dead members wait here for their return. A forgotten member would return with a new record.
      if (member.index >= 0) this.#oneWay.add(member);
      if (member.isLive && member.index >= 0) this.probe(now, member, 0);
      left -= 1;
      if (left === 0) break;
    }
    this.#nextRetry =
      this.#oneWay.size > 0 ? now + this.#context.profile.redialInterval : Number.POSITIVE_INFINITY;
  }

  #widen(now: number, probe: Probe): void {
    probe.indirect = true;
    probe.pingedAt = now;
    probe.deadline = now + this.#rest;
    const { live } = this.#context.members;
    const { silent } = probe;
    for (let tries = 3 * this.#context.profile.indirectProbes; tries > 0; tries--) {
      if (silent.size >= this.#context.profile.indirectProbes || live.length === 0) break;
      const helper = live[Math.floor(this.#context.random() * live.length)] as Member;
      if (helper !== probe.member && helper.state === MemberState.ALIVE) silent.add(helper);
    }
    probe.wasAsked = silent.size > 0;
    for (const helper of silent) this.#context.ask(helper, probe.member, probe.seq);
    this.#context.ping(probe.member, probe.seq, false);
    this.#context.ping(probe.member, probe.seq, true);
  }

  #fail(now: number, probe: Probe): void {
    this.#end(probe);
    this.failures += 1;
    if (this.#context.hearsNobody()) {
      // Perhaps this node's fault.
      this.#context.changeHealth(probe.wasAsked ? probe.silent.size : 1);
    } else this.#doubtHelpers(now, probe);
    this.#onFailed(probe.member, probe.deathReason);
  }

  #doubtHelpers(now: number, { silent }: Probe): void {
    for (const helper of silent) this.probe(now, helper, 0);
  }

  #next(): Member | undefined {
    const { live } = this.#context.members;
    for (let left = this.#round.length + live.length + 1; left > 0; left--) {
      if (this.#at >= this.#round.length) {
        if (live.length === 0) return undefined;
        this.#round = shuffled(live, this.#context.random);
        this.#at = 0;
        for (const each of this.#round) each.inRound = true;
      }
      const member = this.#round[this.#at++] as Member;
      member.inRound = false;
      if (member.index >= 0 && member.isLive) return member;
    }
    return undefined;
  }
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const item = copy[i] as T;
    copy[i] = copy[j] as T;
    copy[j] = item;
  }
  return copy;
}
