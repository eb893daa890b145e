/** States of a member (docs/internals/cluster.md): suspicion, death, revival, removal, and name ownership. */
import { DeathReason, Update } from "../wire/packets.js";
import { type Context, NEVER } from "./context.js";
import { type Member, MemberState, Suspicion } from "./members.js";
import type { Prober } from "./prober.js";

export class LifeCycle {
  readonly #context: Context;
  readonly #prober: Prober;
  readonly #suspects = new Set<Member>();
  #suspicionWake = NEVER;
  #nextClean = NEVER;

  constructor(context: Context, prober: Prober) {
    this.#context = context;
    this.#prober = prober;
  }

  get wake(): number {
    return Math.min(this.#suspicionWake, this.#nextClean);
  }

  tick(now: number): void {
    if (now >= this.#suspicionWake) this.#endSuspicions(now);
    if (now >= this.#nextClean) this.#clean(now);
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
    this.#suspicionWake = NEVER;
    this.#nextClean = NEVER;
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
    this.suspect(member, [this.#context.self.short], undefined);
    if (!this.#context.isCutOff()) return;
    for (const each of this.#context.members.live) this.suspect(each, [this.#context.self.short], undefined);
  }

  /** @param passed update to forward if it has a new accuser; `undefined`: this node's own accusation */
  suspect(member: Member, accusers: readonly number[], passed: Update | undefined): void {
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
    this.bury(member, MemberState.DEAD);
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
    this.release(member);
    this.#prober.schedule(this.#context.profile.redialInterval);
  }

  bury(member: Member, state: MemberState): void {
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
    this.returned(member);
    this.#context.changed();
    this.#context.effects.event({ type: "back", member, restarted: false });
    this.claim(member);
    return true;
  }

  returned(member: Member): void {
    member.doubtful = false;
    member.reason = 0;
    member.state = MemberState.ALIVE;
    member.changedAt = this.#context.now;
    member.lastHeard = this.#context.now;
    this.#context.members.moved(member);
    this.#prober.arrived(member, this.#context.isMinority);
  }

  /** @param isBuried whether to keep a tombstone */
  forget(member: Member, isBuried: boolean): void {
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
      this.forget(member, true);
      this.#context.effects.event({ type: "cleaned", member });
    }
    this.#nextClean = next === NEVER ? NEVER : Math.max(next, now + this.#context.profile.autoclean / 20);
  }

  claim(member: Member): void {
    const conflict = this.#context.members.claim(member);
    if (conflict === undefined) return;
    this.#context.effects.event({ type: "conflict", ...conflict });
    // The owner may be a killed process; a probe then frees the name.
    if (conflict.keeps !== this.#context.self && conflict.keeps.isLive)
      this.#prober.probe(conflict.keeps, DeathReason.REPLACED);
  }

  release(member: Member): void {
    const next = this.#context.members.release(member);
    if (next !== undefined) this.#context.effects.event({ type: "named", member: next });
  }
}
