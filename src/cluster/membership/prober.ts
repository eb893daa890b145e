/**
 * Probes, which show whether a member is alive and receives this node's packets.
 *
 *   DIRECT ──no ack within probeTimeout──> INDIRECT ──none by the end of the interval──> failed
 *     │ └─────────heard─────> AGAIN ──no ack────^ └──heard, here and once before──> unreached
 *     └───────────────────────ack, from it or through others────────────────────────> succeeded
 *
 * The probe of a heard member does not fail. Without an ack the member is reachable one way (asymmetric): it stays a
 * member, and is probed until it acks. Members are probed in shuffled rounds, and out of turn for a reason.
 *
 * A dial pings an address instead of a member: a seed, a dead member or a forgotten one.
 */
import { LatestMap, MAX_PROBES } from "../bounds.js";
import { AckFlag, PacketType, Update } from "../wire/packets.js";
import { type Context, NEVER, pick } from "./context.js";
import { type Member, MemberState } from "./members.js";

/** Dials of a dead member per redial interval by the whole cluster; of a forgotten one half as many. */
const DIALS = 4;

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
  #nextRetry = NEVER;
  /** Addresses that are dialled while they have no member. */
  seeds: ReadonlySet<string> = new Set();
  /** Sequence numbers of dials. */
  readonly #dials = new LatestMap<number, true>(64);
  #hasVacant = false;
  #nextRedial = NEVER;
  #seq: number;
  #wake = NEVER;
  probes = 0;
  failures = 0;
  nextProbe: number;

  /** @param onFailed the probed member gave no sign of life */
  constructor(context: Context, onFailed: (member: Member, deathReason: number) => void) {
    this.#context = context;
    this.#onFailed = onFailed;
    this.#seq = Math.floor(context.random() * 2 ** 32);
    this.nextProbe = NEVER;
    this.start();
  }

  start(): void {
    const { now, profile, random } = this.#context;
    const { probeInterval } = profile;
    if (probeInterval > 0) this.nextProbe = now + random() * probeInterval;
    if (this.#oneWay.size > 0) this.#nextRetry = now;
  }

  stop(): void {
    this.#probes.clear();
    this.#relays.clear();
    this.#wake = NEVER;
    this.nextProbe = NEVER;
    this.#nextRetry = NEVER;
    this.#nextRedial = NEVER;
  }

  nextSeq(): number {
    this.#seq = (this.#seq + 1) >>> 0;
    return this.#seq;
  }

  wake(): number {
    return Math.min(this.#wake, this.nextProbe, this.#nextRetry, this.#nextRedial);
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
  arrived(member: Member, isDoubted: boolean): void {
    this.#added(member);
    if (!isDoubted && this.#oneWay.size === 0) return;
    this.#doubt(member);
    this.probe(member, 0);
  }

  /** The member received a packet of this node. */
  answered(member: Member): void {
    if (!member.isOneWay) return;
    this.#oneWay.delete(member);
    member.isOneWay = false;
    // Other members may be reachable now, too.
    this.#nextRetry = this.#oneWay.size > 0 ? this.#context.now : NEVER;
    this.#context.effects.event({ type: "reached", member });
  }

  /** Probes out of turn. @param deathReason if the probe fails; 0: only suspicion */
  probe(member: Member, deathReason: number): void {
    if (this.#context.profile.probeInterval === 0 && deathReason === 0) return;
    for (const probe of this.#probes.values()) {
      if (probe.member !== member) continue;
      if (deathReason !== 0 && probe.deathReason === 0) probe.deathReason = deathReason;
      return;
    }
    this.#start(member, deathReason);
  }

  /** @returns whether the ack answers a probe, and its sender may give it */
  onAck(from: Member, seq: number, relayed: boolean): boolean {
    this.answered(from);
    const probe = this.#probes.get(seq);
    if (probe !== undefined) {
      if (from !== probe.member && !relayed) return false;
      this.#end(probe);
      this.#context.changeHealth(-1);
      this.answered(probe.member);
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

  onNack(from: Member, seq: number): void {
    this.answered(from);
    this.#probes.get(seq)?.silent.delete(from);
  }

  relay(member: Member, address: string, seq: number): void {
    if (this.#relays.size >= 256) {
      this.#context.answer(address, seq, 0, false);
      return;
    }
    const own = this.nextSeq();
    const { now, profile } = this.#context;
    const { probeInterval, probeTimeout } = profile;
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

  tick(): void {
    const { now, profile } = this.#context;
    if (now >= this.#wake) this.#expire();
    if (now >= this.#nextRetry) this.#retry();
    if (now >= this.#nextRedial) this.#redial();
    if (now < this.nextProbe) return;
    this.nextProbe = Math.max(now, this.nextProbe + this.#context.scaled(profile.probeInterval));
    const member = this.#next();
    if (member !== undefined) this.#start(member, 0);
  }

  #start(member: Member, deathReason: number): void {
    if (this.#probes.size >= MAX_PROBES) return;
    const { now, profile } = this.#context;
    const seq = this.nextSeq();
    this.probes += 1;
    const deadline = now + this.#context.scaled(profile.probeTimeout);
    this.#probes.set(seq, new Probe(seq, member, now, deadline, deathReason));
    this.#wake = Math.min(this.#wake, deadline);
    this.#context.ping(member, seq, false);
  }

  #end(probe: Probe): void {
    this.#probes.delete(probe.seq);
    if (this.#probes.size === 0 && this.#relays.size === 0) this.#wake = NEVER;
  }

  #expire(): void {
    const { now } = this.#context;
    // Ended probes may start others with new deadlines.
    this.#wake = NEVER;
    let wake = NEVER;
    for (const probe of [...this.#probes.values()]) {
      if (!probe.member.isLive) this.#end(probe);
      else if (probe.deathReason !== 0 && this.#isHeard(probe)) this.#succeed(probe);
      else if (now >= probe.deadline) this.#step(probe);
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

  #step(probe: Probe): void {
    const { member } = probe;
    probe.steps += 1;
    if (member.lastHeard > probe.pingedAt) {
      probe.unanswered += 1;
      if (!probe.indirect && probe.unanswered === 1) this.#again(probe);
      else if (!probe.indirect || probe.unanswered < 2) this.#widen(probe);
      else this.#giveUpAnswers(probe);
    } else if (!probe.indirect || (probe.unanswered > 0 && probe.steps < 5)) this.#widen(probe);
    else if (this.#isHeard(probe)) this.#succeed(probe);
    else this.#fail(probe);
  }

  #succeed(probe: Probe): void {
    this.#end(probe);
    this.#context.changeHealth(-1);
  }

  /** After a death reason, a packet that arrives at once may be older than the probe. */
  #isHeard({ member, sentAt, deathReason }: Probe): boolean {
    return member.lastHeard > sentAt + (deathReason === 0 ? 0 : this.#context.profile.probeTimeout / 2);
  }

  #again(probe: Probe): void {
    const { now, profile } = this.#context;
    probe.pingedAt = now;
    probe.deadline = now + this.#context.scaled(Math.max(1, profile.probeInterval - profile.probeTimeout));
    this.#context.ping(probe.member, probe.seq, false);
  }

  #giveUpAnswers(probe: Probe): void {
    const { member } = probe;
    this.#end(probe);
    this.#doubtHelpers(probe);
    if (member.isOneWay) return;
    this.#doubt(member);
    this.#context.effects.event({ type: "one-way", member });
  }

  #doubt(member: Member): void {
    const { now, profile } = this.#context;
    member.isOneWay = true;
    this.#oneWay.add(member);
    this.#nextRetry = Math.min(this.#nextRetry, now + profile.redialInterval);
  }

  #retry(): void {
    const { now, profile } = this.#context;
    let left = Math.min(8, this.#oneWay.size);
    for (const member of this.#oneWay) {
      this.#oneWay.delete(member);
      // Dead members wait here for their return. A forgotten member would return with a new record.
      if (member.index >= 0) this.#oneWay.add(member);
      if (member.isLive && member.index >= 0) this.probe(member, 0);
      left -= 1;
      if (left === 0) break;
    }
    this.#nextRetry = this.#oneWay.size > 0 ? now + profile.redialInterval : NEVER;
  }

  #widen(probe: Probe): void {
    probe.indirect = true;
    const { members, profile, random } = this.#context;
    const { silent } = probe;
    for (let tries = 3 * profile.indirectProbes; tries > 0; tries--) {
      if (silent.size >= profile.indirectProbes) break;
      const helper = pick(members.live, random);
      if (helper !== probe.member && helper?.state === MemberState.ALIVE) silent.add(helper);
    }
    probe.wasAsked = silent.size > 0;
    for (const helper of silent) this.#context.ask(helper, probe.member, probe.seq);
    this.#again(probe);
    this.#context.ping(probe.member, probe.seq, true);
  }

  #fail(probe: Probe): void {
    this.#end(probe);
    this.failures += 1;
    if (this.#context.hearsNobody()) {
      // Perhaps this node's fault.
      this.#context.changeHealth(probe.wasAsked ? probe.silent.size : 1);
    } else this.#doubtHelpers(probe);
    this.#onFailed(probe.member, probe.deathReason);
  }

  #doubtHelpers({ silent }: Probe): void {
    for (const helper of silent) this.probe(helper, 0);
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

  // --- Dials: pings of addresses -------------------------------------------------------------------------------------

  /** Dials new ones at once. */
  setSeeds(addresses: Iterable<string>): void {
    const before = this.seeds;
    const seeds = new Set(addresses);
    seeds.delete(this.#context.self.address);
    this.seeds = seeds;
    const added = [...seeds].filter((address) => !before.has(address));
    for (const address of added) this.dial(address, undefined, false);
    if (added.length === 0) return;
    this.#hasVacant = true;
    this.schedule(this.#context.profile.redialInterval / 4);
  }

  /** @param accusation for the dialled node to refute, or its admission */
  dial(address: string, accusation: Update | undefined, overStream: boolean): void {
    const seq = this.nextSeq();
    this.#dials.set(seq, true);
    const own = this.#context.ownAlive();
    const updates = accusation === undefined ? [own] : [own, accusation];
    this.#context.send(address, overStream, PacketType.PING, { seq, updates });
  }

  /** Whether a dial had this number; only once. */
  answersDial(seq: number): boolean {
    return this.#dials.delete(seq);
  }

  freed(address: string): void {
    if (!this.seeds.has(address)) return;
    this.#hasVacant = true;
    this.schedule(this.#context.profile.redialInterval);
  }

  schedule(ms: number): void {
    this.#nextRedial = Math.min(this.#nextRedial, this.#context.now + ms * (0.5 + this.#context.random()));
  }

  /** Dials dead members, forgotten ones and seeds. All nodes share the dials. An isolated node dials all its seeds. */
  #redial(): void {
    this.#nextRedial = NEVER;
    if (this.#context.left) return;
    const { dead, live, tombstoneAddresses, size } = this.#context.members;
    const { redialInterval } = this.#context.profile;
    let waits = false;
    if (dead.length > 0) {
      waits = true;
      const member = pick(dead, this.#context.random) as Member;
      if (this.#context.random() < (DIALS * dead.length) / size && member.state === MemberState.DEAD) {
        const update = Update.dead(member, member.reason, this.#context.self.short);
        this.dial(member.address, update, this.#context.random() < 0.25);
      }
    }
    if (tombstoneAddresses.length > 0) {
      waits = true;
      if (this.#context.random() < (DIALS * tombstoneAddresses.length) / 2 / size) {
        const address = pick(tombstoneAddresses, this.#context.random) as string;
        this.dial(address, undefined, this.#context.random() < 0.25);
      }
    }
    if (this.#hasVacant) {
      // Iterates over all members, so only if a dial is due.
      if (live.length === 0) for (const address of this.#vacant()) this.#dialSeed(address);
      // Few nodes may know a seed.
      else if (this.#context.random() < Math.max(DIALS / size, 0.1)) {
        const address = pick(this.#vacant(), this.#context.random);
        if (address !== undefined) this.#dialSeed(address);
      }
      waits ||= this.#hasVacant;
    }
    if (waits) this.schedule(redialInterval);
  }

  #vacant(): readonly string[] {
    const { live, dead } = this.#context.members;
    const vacant = new Set(this.seeds);
    for (const member of live) vacant.delete(member.address);
    for (const { state, address } of dead) if (state === MemberState.DEAD) vacant.delete(address);
    this.#hasVacant = vacant.size > 0;
    return [...vacant];
  }

  #dialSeed(address: string): void {
    this.dial(address, undefined, this.#context.random() < 0.5);
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
