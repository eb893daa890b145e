/** Applies updates to the member table, one method per kind. */
import { NO_DETAILS } from "../details.js";
import { compareIncarnations, incarnationAfter, MAX_AHEAD } from "../identity.js";
import { AliveFlag, DeathReason, Update, UpdateKind } from "../wire/packets.js";
import type { Context } from "./context.js";
import { CONFIRMERS, type Heartbeats } from "./heartbeats.js";
import type { LifeCycle } from "./life-cycle.js";
import { Member, MemberState } from "./members.js";
import type { Prober } from "./prober.js";

export interface UpdatesParts {
  readonly prober: Prober;
  readonly lifeCycle: LifeCycle;
  readonly heartbeats: Heartbeats;
}

export class Updates {
  readonly #context: Context;
  readonly #parts: UpdatesParts;
  readonly #onRemoval: (isRemoved: boolean) => void;
  #counter = 0;
  /** An admission that the members do not know. */
  #unheard: Update | undefined;

  constructor(context: Context, parts: UpdatesParts, onRemoval: (isRemoved: boolean) => void) {
    this.#context = context;
    this.#parts = parts;
    this.#onRemoval = onRemoval;
  }

  /** @param isFresh whether it came by gossip; an entry of a synchronization may be old */
  apply(update: Update, isFresh: boolean): void {
    if (update.kind === UpdateKind.REMOVAL) {
      const known = this.#context.members.removals.get(update.id);
      if (known !== undefined && compareIncarnations(update, known) <= 0) {
        if (update.id === this.#context.self.id) this.#onRefused(update);
        return;
      }
      if (this.#context.believes()) this.applyRemoval(update);
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
      if (known.doubtful) this.#parts.lifeCycle.revive(known);
      return;
    }
    const wasLive = known.isLive;
    const restarted = update.processStart !== known.processStart;
    const rejoined = !restarted && update.start !== known.start;
    const drains = (update.flags & AliveFlag.DRAINING) !== 0 && !known.draining;
    if (known.suspicion !== undefined) this.#parts.lifeCycle.clear(known);
    if (wasLive && known.name !== update.name) this.#parts.lifeCycle.release(known);
    const moved = known.address !== update.address;
    if (moved) this.#parts.prober.freed(known.address);
    known.start = update.start;
    known.count = update.count;
    known.processStart = update.processStart;
    known.name = update.name;
    known.address = update.address;
    known.flags = update.flags;
    known.announced = update.version;
    if (restarted) known.details = NO_DETAILS;
    if (wasLive) this.#context.members.rehash(known);
    else this.#parts.lifeCycle.returned(known);
    this.#context.changed();
    this.#pass(update, isFresh);
    if (!wasLive) this.#context.effects.event({ type: "back", member: known, restarted });
    else if (restarted) this.#context.effects.event({ type: "restarted", member: known });
    else if (rejoined) this.#context.effects.event({ type: "rejoined", member: known });
    else if (moved) this.#context.effects.event({ type: "moved", member: known });
    if (drains) this.#context.effects.event({ type: "draining", member: known });
    this.#parts.lifeCycle.claim(known);
  }

  #welcome(update: Update, isFresh: boolean): void {
    const { members, random, self } = this.#context;
    const tombstone = members.tombstones.get(update.id);
    if (tombstone !== undefined) {
      const order = compareIncarnations(update, tombstone);
      if (order === 0 && !tombstone.left && random() < CONFIRMERS / members.size) {
        // Other nodes reach the member.
        const dead = Update.dead(update, DeathReason.SILENT, self.short);
        this.#parts.prober.dial(update.address, dead, false);
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
    this.#parts.prober.arrived(member, this.#context.isMinority);
    this.#context.changed();
    this.#pass(update, isFresh);
    this.#context.effects.event({ type: "joined", member });
    this.#parts.lifeCycle.claim(member);
  }

  #applySuspect(member: Member, update: Update): void {
    if (!member.isLive || compareIncarnations(update, member) < 0) return;
    if (this.#context.profile.probeInterval === 0) {
      this.#parts.heartbeats.onExpect(member.id);
      return;
    }
    const isNew = member.state === MemberState.ALIVE;
    this.#parts.lifeCycle.suspect(member, update.accusers, update);
    // Some of the nodes that hear of it probe the member themselves.
    if (isNew && this.#context.random() * this.#parts.lifeCycle.unsuspected < CONFIRMERS)
      this.#parts.prober.probe(member, 0);
  }

  #applyDead(member: Member, update: Update, isFresh: boolean): void {
    if (!member.isLive || compareIncarnations(update, member) < 0) return;
    const { probeInterval } = this.#context.profile;
    if (probeInterval === 0) {
      this.#parts.heartbeats.onExpect(member.id);
      return;
    }
    // A member heard during the accuser's probe may have answered only this node.
    if (isFresh && this.#context.now - member.lastHeard >= 0.75 * probeInterval) {
      member.start = update.start;
      member.count = update.count;
      this.#parts.lifeCycle.die(member, update.flags, true);
      return;
    }
    // A living member refutes the accusation.
    if (isFresh) this.#parts.lifeCycle.suspect(member, update.accusers, undefined);
    else member.accused = true;
    const isHard = update.flags === DeathReason.CONNECTION || update.flags === DeathReason.REPLACED;
    this.#parts.prober.probe(member, isFresh && isHard ? update.flags : 0);
  }

  #applyLeft(member: Member, update: Update): void {
    if (member.state === MemberState.LEFT) return;
    if (compareIncarnations(update, member) < 0) return;
    member.start = update.start;
    member.count = update.count;
    this.#parts.lifeCycle.bury(member, MemberState.LEFT);
    this.#context.spread(update);
    this.#context.effects.event({ type: "left", member });
    this.#parts.lifeCycle.release(member);
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
  applyRemoval(update: Update, isOwn = false): void {
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
      this.#parts.prober.dial(address, update, false);
    if (id === this.#context.self.id) {
      this.#unheard = undefined;
      const was = this.#context.removed;
      this.#context.removed = isRemoved;
      if (isRemoved !== was) this.#onRemoval(isRemoved);
    }
    const member = members.get(id);
    if (isRemoved && member !== undefined) {
      this.#parts.lifeCycle.forget(member, false);
      this.#parts.lifeCycle.release(member);
    }
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
    if (this.#unheard !== undefined) this.applyRemoval(this.#unheard);
  }

  decide(id: string, isRemoved: boolean): void {
    const before = this.#context.members.removals.get(id);
    const time = Math.max(Math.floor(this.#wall), (before?.start ?? 0) + 1);
    this.#counter += 1;
    this.applyRemoval(Update.removal(id, time, this.#counter, isRemoved), true);
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
