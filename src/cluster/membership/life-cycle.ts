/**
 * States of a member (docs/internals/cluster.md): updates, failed probes and time change them. Signs of life by
 * multicast are heartbeats, answers to `discover`, and requests for a sign.
 */
import { NO_DETAILS } from "../details.js";
import { compareIncarnations, incarnationAfter, MAX_AHEAD } from "../identity.js";
import { AliveFlag, DeathReason, type Packet, PacketType, Update, UpdateKind } from "../wire/packets.js";
import { type Context, NEVER } from "./context.js";
import { Member, MemberState, Suspicion } from "./members.js";
import type { Prober } from "./prober.js";

/** Average number of members that probe a suspect on hearing of it. */
export const CONFIRMERS = 4;

interface Answer {
  readonly at: number;
  readonly address: string;
}

export class LifeCycle {
  readonly #context: Context;
  readonly #prober: Prober;
  readonly #onRemoval: (isRemoved: boolean) => void;
  readonly #suspects = new Set<Member>();
  #suspicionWake = NEVER;
  #nextClean = NEVER;
  #counter = 0;
  /** An admission that the members do not know. */
  #unheard: Update | undefined;
  readonly #answers: Answer[] = [];
  #nextBeat: number;

  constructor(context: Context, prober: Prober, onRemoval: (isRemoved: boolean) => void) {
    this.#context = context;
    this.#prober = prober;
    this.#onRemoval = onRemoval;
    this.#nextBeat = context.now + context.random() * context.profile.heartbeatInterval;
  }

  get wake(): number {
    let wake = Math.min(this.#suspicionWake, this.#nextClean, this.#nextBeat);
    for (const { at } of this.#answers) if (at < wake) wake = at;
    return wake;
  }

  tick(now: number): void {
    if (now >= this.#suspicionWake) this.#endSuspicions(now);
    if (now >= this.#nextClean) this.#clean(now);
    if (now >= this.#nextBeat) this.#onBeatTime(now);
    if (this.#answers.length > 0) this.#sendAnswers(now);
  }

  shift(ms: number): void {
    for (const { suspicion } of this.#suspects) {
      if (suspicion === undefined) continue;
      suspicion.since += ms;
      suspicion.deadline += ms;
    }
    if (this.#suspects.size > 0) this.#suspicionWake += ms;
  }

  stop(): void {
    const { now, random, profile } = this.#context;
    this.#suspicionWake = NEVER;
    this.#nextClean = NEVER;
    this.#answers.length = 0;
    this.#nextBeat = now + random() * profile.heartbeatInterval;
  }

  start(): void {
    const { now, profile, members } = this.#context;
    for (const { suspicion } of this.#suspects) {
      if (suspicion === undefined) continue;
      suspicion.since = now;
      suspicion.update(this.#wantedAccusers());
      this.#suspicionWake = Math.min(this.#suspicionWake, suspicion.deadline);
    }
    this.#prober.schedule(profile.redialInterval);
    if (members.dead.length > 0) this.#nextClean = now + profile.autoclean;
  }

  /** @param deathReason; 0: the member is only suspected */
  probeFailed(member: Member, deathReason: number): void {
    if (!member.isLive) return;
    if (deathReason !== 0 && !this.#context.isCutOff()) {
      this.die(member, deathReason, true);
      return;
    }
    this.#suspect(member, [this.#context.self.short], undefined);
    if (!this.#context.isCutOff()) return;
    for (const each of this.#context.members.live) this.#suspect(each, [this.#context.self.short], undefined);
  }

  /** @param passed update to forward if it has a new accuser; `undefined`: this node's own accusation */
  #suspect(member: Member, accusers: readonly number[], passed: Update | undefined): void {
    const wanted = this.#wantedAccusers();
    let { suspicion } = member;
    let isNew = true;
    if (suspicion === undefined) {
      const { profile, members, now } = this.#context;
      suspicion = new Suspicion(profile, members.size, now, accusers);
      member.suspicion = suspicion;
      member.state = MemberState.SUSPECT;
      member.changedAt = this.#context.now;
      this.#suspects.add(member);
      this.#context.effects.event({ type: "suspect", member });
    } else isNew = suspicion.accuse(accusers, wanted);
    suspicion.update(wanted);
    this.#suspicionWake = Math.min(this.#suspicionWake, suspicion.deadline);
    if (isNew && (passed !== undefined || !this.#context.isCutOff()))
      this.#context.spread(Update.suspect(member, suspicion.accusers));
  }

  #wantedAccusers(): number {
    const others = this.#context.members.live.length - Math.max(1, this.#suspects.size);
    return Math.max(0, Math.min(this.#context.profile.confirmations, others));
  }

  get unsuspected(): number {
    return this.#context.members.live.length - this.#suspects.size;
  }

  clear(member: Member): void {
    this.#suspects.delete(member);
    member.suspicion = undefined;
    member.state = MemberState.ALIVE;
    member.changedAt = this.#context.now;
    this.#context.dropGossip(member.id);
    this.#context.effects.event({ type: "cleared", member });
  }

  #endSuspicions(now: number): void {
    const wanted = this.#wantedAccusers();
    let wake = NEVER;
    for (const member of this.#suspects) {
      const { suspicion } = member;
      if (suspicion === undefined) continue;
      suspicion.update(wanted);
      // The member is alive, and can refute the accusation.
      if (member.lastHeard > suspicion.since)
        suspicion.deadline = Math.max(suspicion.deadline, member.lastHeard + suspicion.min);
      if (now < suspicion.deadline) wake = Math.min(wake, suspicion.deadline);
      else this.die(member, DeathReason.SILENT, !this.#context.isCutOff());
    }
    this.#suspicionWake = wake;
  }

  die(member: Member, reason: number, isSpread: boolean): void {
    if (!member.isLive) return;
    member.reason = reason === 0 ? DeathReason.SILENT : reason;
    this.#bury(member, MemberState.DEAD);
    // If two nodes lose each other, no one can tell which one is cut off.
    const isLast = member.reason === DeathReason.SILENT && this.#context.members.live.length === 0;
    if (isSpread && !isLast) {
      this.#context.spread(Update.dead(member, member.reason, this.#context.self.short));
    } else {
      // Deaths that wait to be told may come from the same cut.
      const { isAlone, members } = this.#context;
      for (const { id } of isAlone ? [member] : members.dead) this.#context.dropGossip(id);
      member.doubtful = reason !== DeathReason.TTL;
      this.#context.isAlone = true;
    }
    this.#context.effects.event({ type: "lost", member, reason: member.reason });
    this.#prober.schedule(this.#context.profile.redialInterval);
  }

  #bury(member: Member, state: MemberState): void {
    this.#suspects.delete(member);
    member.suspicion = undefined;
    member.state = state;
    member.changedAt = this.#context.now;
    member.expectedBy = NEVER;
    this.#context.members.moved(member);
    this.#context.changed();
    this.#prober.freed(member.address);
    if (this.#nextClean === NEVER) this.#nextClean = this.#context.now + this.#context.profile.autoclean;
  }

  /**
   * Revives a member that only this node declared dead, while it was cut off.
   *
   * @returns whether this node is no longer cut off
   */
  revive(member: Member): boolean {
    if (this.#context.isUnanswered()) return false;
    this.#returned(member);
    this.#context.changed();
    this.#context.effects.event({ type: "back", member, restarted: false });
    return true;
  }

  #returned(member: Member): void {
    member.doubtful = false;
    member.reason = 0;
    member.state = MemberState.ALIVE;
    member.changedAt = this.#context.now;
    member.lastHeard = this.#context.now;
    this.#context.members.moved(member);
    this.#prober.arrived(member, this.#context.isMinority);
  }

  /** @param isBuried whether to keep a tombstone */
  #forget(member: Member, isBuried: boolean): void {
    this.#suspects.delete(member);
    this.#context.dropGossip(member.id);
    this.#context.members.delete(member, isBuried);
    this.#prober.freed(member.address);
    member.suspicion = undefined;
    if (!isBuried) member.state = MemberState.LEFT;
    this.#context.changed();
  }

  #clean(now: number): void {
    let next = NEVER;
    for (const member of [...this.#context.members.dead]) {
      const due = member.changedAt + this.#context.profile.autoclean;
      if (due > now) {
        next = Math.min(next, due);
        continue;
      }
      this.#forget(member, true);
      this.#context.effects.event({ type: "cleaned", member });
    }
    this.#nextClean = next === NEVER ? NEVER : Math.max(next, now + this.#context.profile.autoclean / 20);
  }

  /** A sign of life is expected: soon without probes; else some of the nodes that hear of it probe the member. */
  expect(member: Member): void {
    const { profile, random, members, now } = this.#context;
    if (profile.probeInterval === 0)
      member.expectedBy = Math.min(member.expectedBy, now + 2 * profile.discoverTime);
    else if (random() < CONFIRMERS / members.size) this.#prober.probe(member, 0);
  }

  // --- Signs of life ---------------------------------------------------------------------------------------------------

  heartbeat(now: number, channel: number): void {
    this.#nextBeat = now + this.#context.profile.heartbeatInterval * (0.9 + 0.2 * this.#context.random());
    if (!this.#context.left && !this.#context.removed)
      this.#context.effects.multicast(this.#context.heartbeatPacket(channel));
  }

  /** @param ms by default long enough for one heartbeat to have several changes */
  heartbeatAfter(ms = 20): void {
    this.#nextBeat = Math.min(this.#nextBeat, this.#context.now + ms);
  }

  discover(answers: number): void {
    const updates = [this.#context.ownAlive()];
    const target = this.#context.profile.discoverTime;
    this.#context.effects.multicast(
      this.#context.packet(PacketType.DISCOVER, { seq: answers, target, updates }),
    );
  }

  #onBeatTime(now: number): void {
    this.heartbeat(now, 0);
    const { ttl } = this.#context.profile;
    if (this.#context.profile.probeInterval > 0 || ttl === 0) return;
    for (const member of [...this.#context.members.live])
      if (now - member.lastHeard > ttl || now > member.expectedBy) this.die(member, DeathReason.TTL, false);
  }

  /** Asks all members to expect a sign of life from one that this node cannot reach. */
  askFor(member: Member): void {
    const packet = this.#context.packet(PacketType.EXPECT, { about: member.id });
    this.#context.effects.multicast(packet);
    // One lost datagram must not make a live member be lost.
    this.#context.effects.send(member.address, packet, false);
    this.onExpect(member.id);
  }

  onExpect(id: string): void {
    if (id === this.#context.self.id) {
      this.heartbeatAfter(this.#context.random() * this.#context.profile.discoverTime);
      return;
    }
    const member = this.#context.members.get(id);
    if (member?.isLive) this.expect(member);
  }

  onDiscover({ seq: wanted, target: within }: Packet, address: string): void {
    if (wanted > 0 && this.#context.random() >= wanted / this.#context.members.size) return;
    if (this.#answers.length >= 256 || this.#answers.some((each) => each.address === address)) return;
    this.#answers.push({ at: this.#context.now + this.#context.random() * within, address });
  }

  #sendAnswers(now: number): void {
    for (let i = this.#answers.length - 1; i >= 0; i--) {
      const { at, address } = this.#answers[i] as Answer;
      if (at > now) continue;
      this.#answers.splice(i, 1);
      this.#context.effects.send(address, this.#context.heartbeatPacket(0), false);
    }
  }

  // --- Updates --------------------------------------------------------------------------------------------------------

  /** @param isFresh whether it came by gossip; an entry of a synchronization may be old */
  apply(update: Update, isFresh: boolean): void {
    if (update.kind === UpdateKind.REMOVAL) {
      const known = this.#context.members.removals.get(update.id);
      if (known !== undefined && compareIncarnations(update, known) <= 0) {
        if (update.id === this.#context.self.id) this.#onRefused(update);
        return;
      }
      if (this.#context.believes()) this.#applyRemoval(update);
      return;
    }
    if (update.id === this.#context.self.id) {
      this.#applySelf(update);
      return;
    }
    if (this.#context.members.isRemoved(update.id)) return;
    const member = this.#context.members.get(update.id);
    if (member === undefined) {
      this.#applyUnknown(update, isFresh);
      return;
    }
    switch (update.kind) {
      case UpdateKind.ALIVE:
        this.#applyAlive(member, update, isFresh);
        break;
      case UpdateKind.SUSPECT:
        this.#applySuspect(member, update);
        break;
      case UpdateKind.DEAD:
        this.#applyDead(member, update, isFresh);
        break;
      case UpdateKind.LEFT:
        this.#applyLeft(member, update);
        break;
      case UpdateKind.DETAILS:
        this.#applyDetails(member, update, isFresh);
        break;
    }
  }

  #applyUnknown(update: Update, isFresh: boolean): void {
    const { id, kind, start, count } = update;
    if (kind === UpdateKind.ALIVE) this.#welcome(update, isFresh);
    else if (kind === UpdateKind.DEAD || kind === UpdateKind.LEFT)
      this.#context.members.bury(id, { start, count, address: "", left: kind === UpdateKind.LEFT });
  }

  #applyAlive(known: Member, update: Update, isFresh: boolean): void {
    const order = compareIncarnations(update, known);
    if (order < 0) return;
    if (order === 0) {
      if (known.doubtful) this.revive(known);
      return;
    }
    const wasLive = known.isLive;
    const restarted = update.processStart !== known.processStart;
    const rejoined = !restarted && update.start !== known.start;
    const drains = (update.flags & AliveFlag.DRAINING) !== 0 && !known.draining;
    if (known.suspicion !== undefined) this.clear(known);
    const moved = known.address !== update.address;
    if (moved) this.#prober.freed(known.address);
    known.start = update.start;
    known.count = update.count;
    known.processStart = update.processStart;
    known.name = update.name;
    known.address = update.address;
    known.flags = update.flags;
    known.announced = update.version;
    if (restarted) known.details = NO_DETAILS;
    if (wasLive) this.#context.members.rehash(known);
    else this.#returned(known);
    this.#context.changed();
    this.#pass(update, isFresh);
    if (!wasLive) this.#context.effects.event({ type: "back", member: known, restarted });
    else if (restarted) this.#context.effects.event({ type: "restarted", member: known });
    else if (rejoined) this.#context.effects.event({ type: "rejoined", member: known });
    else if (moved) this.#context.effects.event({ type: "moved", member: known });
    if (drains) this.#context.effects.event({ type: "draining", member: known });
  }

  #welcome(update: Update, isFresh: boolean): void {
    const { members, random, self } = this.#context;
    const tombstone = members.tombstones.get(update.id);
    if (tombstone !== undefined) {
      const order = compareIncarnations(update, tombstone);
      if (order === 0 && !tombstone.left && random() < CONFIRMERS / members.size) {
        // Other nodes reach the member.
        const dead = Update.dead(update, DeathReason.SILENT, self.short);
        this.#prober.dial(update.address, dead, false);
      }
      if (order <= 0) return;
    }
    if (!this.#context.believes()) return;
    if (this.#context.members.full) {
      this.#context.refuse("full");
      return;
    }
    const member = new Member(update, this.#context.now);
    this.#context.members.add(member);
    this.#prober.arrived(member, this.#context.isMinority);
    this.#context.changed();
    this.#pass(update, isFresh);
    this.#context.effects.event({ type: "joined", member });
  }

  #applySuspect(member: Member, update: Update): void {
    if (!member.isLive || compareIncarnations(update, member) < 0) return;
    if (this.#context.profile.probeInterval === 0) {
      this.expect(member);
      return;
    }
    const isNew = member.state === MemberState.ALIVE;
    this.#suspect(member, update.accusers, update);
    // Some of the nodes that hear of it probe the member themselves.
    if (isNew && this.#context.random() * this.unsuspected < CONFIRMERS) this.#prober.probe(member, 0);
  }

  #applyDead(member: Member, update: Update, isFresh: boolean): void {
    if (!member.isLive || compareIncarnations(update, member) < 0) return;
    const { probeInterval } = this.#context.profile;
    if (probeInterval === 0) {
      this.expect(member);
      return;
    }
    // A member heard during the accuser's probe may have answered only this node.
    if (isFresh && this.#context.now - member.lastHeard >= 0.75 * probeInterval) {
      member.start = update.start;
      member.count = update.count;
      this.die(member, update.flags, true);
      return;
    }
    // A living member refutes the accusation.
    if (isFresh) this.#suspect(member, update.accusers, undefined);
    else member.accused = true;
    const isHard = update.flags === DeathReason.CONNECTION || update.flags === DeathReason.REPLACED;
    this.#prober.probe(member, isFresh && isHard ? update.flags : 0);
  }

  #applyLeft(member: Member, update: Update): void {
    if (member.state === MemberState.LEFT) return;
    if (compareIncarnations(update, member) < 0) return;
    member.start = update.start;
    member.count = update.count;
    this.#bury(member, MemberState.LEFT);
    this.#context.spread(update);
    this.#context.effects.event({ type: "left", member });
  }

  #applyDetails(member: Member, update: Update, isFresh: boolean): void {
    const { details } = update;
    if (details === undefined || update.start !== member.start || details.version <= member.details.version)
      return;
    const before = member.details;
    member.details = details;
    this.#context.members.rehash(member);
    this.#context.changed();
    this.#pass(update, isFresh);
    this.#context.effects.event({ type: "details", member, before });
  }

  #applySelf(update: Update): void {
    if (this.#context.left || update.kind === UpdateKind.DETAILS) return;
    const order = compareIncarnations(update, this.#context.self);
    if (order < 0 || (order === 0 && update.kind === UpdateKind.ALIVE)) return;
    const next = incarnationAfter(this.#context.self, update);
    if (next === undefined) {
      this.#context.refuse("self");
      return;
    }
    this.#context.setIncarnation(next);
    this.#context.refutations += 1;
    if (update.kind === UpdateKind.SUSPECT) this.#context.changeHealth(1);
    this.#context.announce(false);
  }

  /** Removals and admissions have separate versions. @param isOwn whether an operator decided it at this node */
  #applyRemoval(update: Update, isOwn = false): void {
    // An operator's next decision needs a later version. An earlier wall clock was never set.
    if (!isOwn && update.start - Math.max(this.#wall, Date.UTC(2025)) > MAX_AHEAD) {
      this.#context.refuse("ahead");
      return;
    }
    const isRemoved = (update.flags & 1) !== 0;
    const { members, random, self } = this.#context;
    const { id, start, count } = update;
    const address = members.get(id)?.address ?? members.removals.get(id)?.address ?? "";
    if (!members.setRemoval(id, { start, count, removed: isRemoved, address })) return;
    this.#context.changed();
    this.#context.spread(update);
    if (!isRemoved && id !== self.id && address !== "" && (isOwn || random() < CONFIRMERS / members.size))
      this.#prober.dial(address, update, false);
    if (id === this.#context.self.id) {
      this.#unheard = undefined;
      const was = this.#context.removed;
      this.#context.removed = isRemoved;
      if (isRemoved !== was) this.#onRemoval(isRemoved);
    }
    const member = members.get(id);
    if (isRemoved && member !== undefined) this.#forget(member, false);
    const type = isRemoved ? "removed" : "admitted";
    this.#context.effects.event({ type, id, member: id === self.id ? self : member });
  }

  /**
   * A member refuses this node by a removal older than its admission: the admitting node may itself have been removed.
   * Without answers this node counts as removed until it is admitted or answered.
   */
  #onRefused(update: Update): void {
    const { members, self } = this.#context;
    const admission = members.removals.get(self.id);
    if ((update.flags & 1) === 0 || admission === undefined || admission.removed) return;
    if (!this.#context.isUnanswered() || !this.#context.believes()) return;
    this.#unheard = Update.removal(self.id, admission.start, admission.count, false);
    const { start, count } = update;
    members.overrule(self.id, { start, count, removed: true, address: admission.address });
    this.#context.changed();
    this.#context.removed = true;
    this.#onRemoval(true);
    this.#context.effects.event({ type: "removed", id: self.id, member: self });
  }

  /** For members that have not heard of it; `undefined` while it is doubtful. */
  get ownRemoval(): Update | undefined {
    const { members, self } = this.#context;
    const removal = members.removals.get(self.id);
    if (removal === undefined || this.#unheard !== undefined) return undefined;
    return Update.removal(self.id, removal.start, removal.count, removal.removed);
  }

  /** Its admission is known to the member that answered. */
  onAnswer(): void {
    if (this.#unheard !== undefined) this.#applyRemoval(this.#unheard);
  }

  decide(id: string, isRemoved: boolean): void {
    const before = this.#context.members.removals.get(id);
    const time = Math.max(Math.floor(this.#wall), (before?.start ?? 0) + 1);
    this.#counter += 1;
    this.#applyRemoval(Update.removal(id, time, this.#counter, isRemoved), true);
  }

  /** Wall clock in ms, advanced monotonically since the start. */
  get #wall(): number {
    return this.#context.now + this.#context.wallOffset;
  }

  /** Forwards gossip, and entries of a synchronization only once this node is established. */
  #pass(update: Update, isFresh: boolean): void {
    if (isFresh || this.#context.established) this.#context.spread(update);
  }
}
