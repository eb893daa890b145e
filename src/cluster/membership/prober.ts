/**
 * Probes: is a member there?
 *
 *   DIRECT ──no ack within probeTimeout──> INDIRECT ──none by the end of the interval──> failed
 *     └──────────────ack, or any sign of life─────────────> succeeded
 *
 * In turn through a shuffled round, and out of turn where there is a reason. Also the pings that others ask for.
 */
import { MAX_PROBES, MAX_RELAYS } from "../bounds.js";
import type { Profile } from "../profiles.js";
import type { Health } from "./health.js";
import { type Member, MemberState, type Members } from "./members.js";

/** What the prober lets happen. */
export interface ProberEffects {
  /** Sends a ping to a member. */
  ping(member: Member, seq: number, overStream: boolean): void;
  /** Asks a helper to ping a member. */
  ask(helper: Member, member: Member, seq: number): void;
  /** Answers one who asked. */
  relayed(address: string, seq: number, acked: boolean): void;
  failed(member: Member, evidence: number): void;
  /** Whether no member at all was heard lately. */
  hearsNobody(): boolean;
}

class Probe {
  readonly seq: number;
  readonly member: Member;
  readonly sentAt: number;
  deadline: number;
  indirect = false;
  /** Helpers that were asked and gave no answer yet. */
  readonly silent = new Set<Member>();
  wasAsked = false;
  /** The reason for which the member is dead when this fails (DeathReason); 0: it is only suspected then. */
  evidence: number;

  constructor(seq: number, member: Member, now: number, deadline: number, evidence: number) {
    this.seq = seq;
    this.member = member;
    this.sentAt = now;
    this.deadline = deadline;
    this.evidence = evidence;
  }
}

interface Relay {
  readonly address: string;
  readonly seq: number;
  readonly deadline: number;
}

export class Prober {
  readonly #profile: Profile;
  readonly #members: Members;
  readonly #health: Health;
  readonly #random: () => number;
  readonly #effects: ProberEffects;
  readonly #probes = new Map<number, Probe>();
  readonly #relays = new Map<number, Relay>();
  /** This round's members; filled again when it is through. */
  #round: Member[] = [];
  #at = 0;
  readonly #urgent: Member[] = [];
  #seq: number;
  /** No deadline is before it. */
  #wake = Number.POSITIVE_INFINITY;
  /** When the next of the round is due. */
  nextProbe: number;

  constructor(
    profile: Profile,
    members: Members,
    health: Health,
    random: () => number,
    effects: ProberEffects,
    now: number,
  ) {
    this.#profile = profile;
    this.#members = members;
    this.#health = health;
    this.#random = random;
    this.#effects = effects;
    this.#seq = Math.floor(random() * 2 ** 32);
    this.nextProbe = Number.POSITIVE_INFINITY;
    this.start(now);
  }

  /** Begins again, after `stop`. */
  start(now: number): void {
    const { probeInterval } = this.#profile;
    if (probeInterval > 0) this.nextProbe = now + this.#random() * probeInterval;
  }

  /** Nobody is probed any more, and what is under way decides nothing. */
  stop(): void {
    this.#probes.clear();
    this.#relays.clear();
    for (const member of this.#urgent.splice(0)) member.urgent = false;
    this.#wake = Number.POSITIVE_INFINITY;
    this.nextProbe = Number.POSITIVE_INFINITY;
  }

  /** A fresh number for a ping. */
  nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0;
    return this.#seq;
  }

  wake(): number {
    return Math.min(this.#wake, this.nextProbe);
  }

  /** A new member gets its turn at a random place of this round. */
  added(member: Member): void {
    const at = this.#at + Math.floor(this.#random() * (this.#round.length - this.#at + 1));
    const there = this.#round[at];
    if (there === undefined) this.#round.push(member);
    else {
      this.#round[at] = member;
      this.#round.push(there);
    }
  }

  /**
   * Probes a member out of turn.
   *
   * @param evidence the reason for which it is dead when this fails; 0: it is suspected then
   */
  probe(now: number, member: Member, evidence: number): void {
    if (this.#profile.probeInterval === 0 && evidence === 0) return;
    for (const probe of this.#probes.values()) {
      if (probe.member !== member) continue;
      if (evidence !== 0 && probe.evidence === 0) probe.evidence = evidence;
      return;
    }
    if (this.#probes.size >= MAX_PROBES) {
      if (!member.urgent) {
        member.urgent = true;
        this.#urgent.push(member);
      }
      return;
    }
    this.#start(now, member, evidence);
  }

  /** @returns whether the number was a probe's, and the ack is by who may give it */
  onAck(from: Member, seq: number, relayed: boolean): boolean {
    const probe = this.#probes.get(seq);
    if (probe !== undefined) {
      if (from !== probe.member && !relayed) return false;
      this.#end(probe);
      this.#health.change(-1);
      // Another node says so: as good as hearing it.
      return true;
    }
    const relay = this.#relays.get(seq);
    if (relay === undefined) return false;
    this.#relays.delete(seq);
    this.#effects.relayed(relay.address, relay.seq, true);
    return true;
  }

  /** The member that a probe was for. */
  memberOf(seq: number): Member | undefined {
    return this.#probes.get(seq)?.member;
  }

  onNack(from: Member, seq: number): void {
    this.#probes.get(seq)?.silent.delete(from);
  }

  /** Another node wants to know whether a member is there. */
  relay(now: number, member: Member, address: string, seq: number): void {
    if (this.#relays.size >= MAX_RELAYS) {
      this.#effects.relayed(address, seq, false);
      return;
    }
    const own = this.nextSeq();
    // In time for the one who asked: it waits for the rest of its interval.
    const { probeInterval, probeTimeout } = this.#profile;
    const deadline = now + Math.max(probeTimeout / 2, (probeInterval - probeTimeout) * 0.6);
    this.#relays.set(own, { address, seq, deadline });
    this.#wake = Math.min(this.#wake, deadline);
    this.#effects.ping(member, own, false);
  }

  /** Every deadline moves: the process stood still. */
  shift(ms: number): void {
    for (const probe of this.#probes.values()) probe.deadline += ms;
    for (const [seq, relay] of this.#relays)
      this.#relays.set(seq, { ...relay, deadline: relay.deadline + ms });
    this.#wake += ms;
  }

  tick(now: number): void {
    if (now >= this.#wake) this.#expire(now);
    while (this.#urgent.length > 0 && this.#probes.size < MAX_PROBES) {
      const member = this.#urgent.pop() as Member;
      member.urgent = false;
      if (member.isLive) this.#start(now, member, 0);
    }
    if (now < this.nextProbe) return;
    this.nextProbe = Math.max(now, this.nextProbe + this.#health.scale(this.#profile.probeInterval));
    const member = this.#next();
    if (member !== undefined && this.#probes.size < MAX_PROBES) this.#start(now, member, 0);
  }

  #start(now: number, member: Member, evidence: number): void {
    const seq = this.nextSeq();
    const deadline = now + this.#health.scale(this.#profile.probeTimeout);
    this.#probes.set(seq, new Probe(seq, member, now, deadline, evidence));
    this.#wake = Math.min(this.#wake, deadline);
    this.#effects.ping(member, seq, false);
  }

  #end(probe: Probe): void {
    this.#probes.delete(probe.seq);
    // The usual case: it was the only one.
    if (this.#probes.size === 0 && this.#relays.size === 0) this.#wake = Number.POSITIVE_INFINITY;
  }

  #expire(now: number): void {
    let wake = Number.POSITIVE_INFINITY;
    for (const probe of [...this.#probes.values()]) {
      if (!probe.member.isLive) this.#end(probe);
      else if (probe.member.lastHeard > probe.sentAt + this.#inFlight(probe)) this.#succeed(probe);
      else if (now >= probe.deadline && !probe.indirect) this.#widen(now, probe);
      else if (now >= probe.deadline) this.#fail(now, probe);
      if (this.#probes.has(probe.seq)) wake = Math.min(wake, probe.deadline);
    }
    for (const [seq, relay] of this.#relays) {
      if (now < relay.deadline) wake = Math.min(wake, relay.deadline);
      else {
        this.#relays.delete(seq);
        this.#effects.relayed(relay.address, relay.seq, false);
      }
    }
    this.#wake = wake;
  }

  #succeed(probe: Probe): void {
    this.#end(probe);
    this.#health.change(-1);
  }

  /** ms within which what comes may have been sent before there was evidence: not a sign of life then. */
  #inFlight(probe: Probe): number {
    return probe.evidence === 0 ? 0 : this.#profile.probeTimeout / 2;
  }

  #widen(now: number, probe: Probe): void {
    probe.indirect = true;
    probe.deadline =
      now + this.#health.scale(Math.max(1, this.#profile.probeInterval - this.#profile.probeTimeout));
    const { live } = this.#members;
    const { silent } = probe;
    for (let tries = 3 * this.#profile.indirectProbes; tries > 0; tries--) {
      if (silent.size >= this.#profile.indirectProbes || live.length === 0) break;
      const helper = live[Math.floor(this.#random() * live.length)] as Member;
      if (helper !== probe.member && helper.state === MemberState.ALIVE) silent.add(helper);
    }
    probe.wasAsked = silent.size > 0;
    for (const helper of silent) this.#effects.ask(helper, probe.member, probe.seq);
    this.#effects.ping(probe.member, probe.seq, false);
    this.#effects.ping(probe.member, probe.seq, true);
  }

  #fail(now: number, probe: Probe): void {
    this.#end(probe);
    if (this.#effects.hearsNobody()) {
      // Perhaps it is this node's fault: helpers did not even say no.
      this.#health.change(probe.wasAsked ? probe.silent.size : 1);
    } else {
      // Others are heard. So the helpers are as doubtful as the member: a cut, and not this node's fault.
      for (const helper of probe.silent) this.probe(now, helper, 0);
    }
    this.#effects.failed(probe.member, probe.evidence);
  }

  #next(): Member | undefined {
    const { live } = this.#members;
    for (let left = this.#round.length + live.length + 1; left > 0; left--) {
      if (this.#at >= this.#round.length) {
        if (live.length === 0) return undefined;
        this.#round = shuffled(live, this.#random);
        this.#at = 0;
      }
      const member = this.#round[this.#at++] as Member;
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
