/**
 * Changes on their way: handed on along the ring, acknowledged back along the same way. Pure.
 *
 *   own change ──push──> the nodes that this one sends to, each for a part of the ring ──> … and back: ACK with how many are missing
 *   another's  ──onPush──> waits for the version itself ──onAdvance──> handed on to its part ──> ACK to who sent it
 *
 * A wave is a change on its way through this node; one for each origin. Of the own changes, one wave at a time wants
 * acknowledgements. Where some are missing, it is sent again, less and less often, for a minute after the last change.
 */
import { ROUTE_ACK_RETRY, ROUTE_ACK_TIMEOUT } from "./bounds.js";
import type { OwnRoutes } from "./own-routes.js";
import type { SendResult } from "./parts.js";
import type { Replica } from "./route-replica.js";
import type { RouteRing } from "./route-ring.js";
import { encodeAck, encodePush, type RouteVersion } from "./route-wire.js";

/** ms between two looks at what waits, while something does. */
export const LOOK = 50;
/** ms for which members that have not acknowledged are asked again after the last change, and the longest wait between two attempts. */
const ASK_AGAIN_FOR = 60_000;
const ASK_AGAIN_MAX = 5_000;
/** ms that a live node whose details have not come is waited for by what wants to be known to all. */
const EXPECTED_FOR = 2_000;
/** ms within which a change is handed on once only. */
const HAND_ON_PAUSE = ROUTE_ACK_RETRY / 2;
/** ms that a node waits for acknowledgements, for each further step in the ring. */
const ACK_STEP = 250;
const NEVER = Number.POSITIVE_INFINITY;

export interface RouteWavesEffects {
  send(to: string, item: Uint8Array): SendResult;
  /** The life of a node, this one included, that its routes are of. */
  lifeOf(id: string): number | undefined;
  /** All that took part when it was sent have everything up to this ticket. */
  acknowledged(ticket: number): void;
  /** A change came again too soon. */
  flood(): void;
  /** `look` is to be called soon, and not only after `LOOK` ms. */
  lookNow(now: number): void;
}

/** A change on its way through this node: whose acknowledgements are missing. */
interface Wave {
  readonly version: number;
  /** Who wants the acknowledgement; `undefined`: nobody. */
  readonly parent: string | undefined;
  /** The part of the ring that it is handed on to; `undefined`: nobody. */
  readonly until: string | undefined;
  /** Those that have not answered, with the nodes that each stands for; `undefined` before it was handed on. */
  pending: Map<string, number> | undefined;
  missing: number;
  deadline: number;
}

export class RouteWaves {
  readonly #self: { readonly id: string; readonly life: number };
  readonly #own: OwnRoutes;
  readonly #ring: RouteRing;
  readonly #effects: RouteWavesEffects;
  /** By origin. */
  readonly #waves = new Map<string, Wave>();
  /** Live nodes whose details are on their way, and until when they are waited for. */
  readonly #expected = new Map<string, number>();
  #ackedVersion = 0;
  #ackedTicket = 0;
  /** The own change that was not acknowledged by all is sent again at this time. */
  #askAgainAt = NEVER;
  #askAgainAfter = ROUTE_ACK_RETRY;
  #changedAt = 0;
  #missing = 0;

  constructor(
    self: { readonly id: string; readonly life: number },
    own: OwnRoutes,
    ring: RouteRing,
    effects: RouteWavesEffects,
  ) {
    this.#self = self;
    this.#own = own;
    this.#ring = ring;
    this.#effects = effects;
  }

  /** Whether `look` has something to wait for. */
  get isBusy(): boolean {
    return this.#waves.size + this.#expected.size > 0 || this.#askAgainAt < NEVER;
  }

  /** Members that had not acknowledged the last change when it was asked for. */
  get missing(): number {
    return this.#missing;
  }

  /** Whether all members that were there have everything up to a ticket. */
  acked(ticket: number): boolean {
    return ticket <= this.#ackedTicket;
  }

  /** What has waited for long enough; every `LOOK` ms while something waits. */
  look(now: number): void {
    for (const [origin, wave] of [...this.#waves])
      if (now >= wave.deadline) this.#onTimeout(now, origin, wave);
    for (const [id, until] of this.#expected) if (now >= until) this.endExpected(now, id);
    if (now >= this.#askAgainAt) this.#askAgain(now);
  }

  // --- Members -------------------------------------------------------------------------------------------------------

  /** A live node, of which it is not known yet whether it takes part: what wants to be known to all waits for it. */
  expect(now: number, id: string): void {
    if (!this.#expected.has(id)) this.#expected.set(id, now + EXPECTED_FOR);
  }

  /** What was acknowledged by all others is sent again: it takes part now. */
  endExpected(now: number, id: string): void {
    if (!this.#expected.delete(id) || this.#expected.size > 0) return;
    this.#askAgainAt = now;
    this.#effects.lookNow(now);
  }

  /** A node takes part no longer. */
  onLeave(now: number, id: string): void {
    // Who stood for others did not acknowledge for them; who stood for itself need not.
    for (const [origin, wave] of [...this.#waves]) {
      const count = wave.pending?.get(id);
      if (count === undefined) continue;
      wave.pending?.delete(id);
      wave.missing += count - 1;
      this.#settle(now, origin, wave);
    }
  }

  /** The changes of a node that is gone. */
  forget(origin: string): void {
    this.#waves.delete(origin);
  }

  // --- Own changes ---------------------------------------------------------------------------------------------------

  /** Something of this node's own interest changed, or was there already: somebody may wait until all know the ticket. */
  onOwnChange(now: number, ticket: number): void {
    this.#changedAt = now;
    // Whether somebody waits for it is not known here.
    if (!this.acked(ticket) && !this.#waves.has(this.#self.id))
      this.#askAgainAt = Math.min(this.#askAgainAt, now + LOOK);
  }

  /** An own change is a version now. @param block of that version; `undefined`: the others fetch it */
  push(now: number, version: number, block: Buffer | undefined): void {
    this.#changedAt = now;
    this.#askAgainAfter = ROUTE_ACK_RETRY;
    this.#push(now, version, block);
  }

  /** One wave at a time wants acknowledgements: of many changes in a row none would ever be acknowledged by all. */
  #push(now: number, version: number, block: Buffer | undefined): void {
    const { id, life } = this.#self;
    if (this.#ring.others === 0) {
      this.#onOwnAcked(now, version);
      return;
    }
    if (this.#waves.has(id)) {
      this.#handOn(id, life, version, id, block, false);
      return;
    }
    const wave: Wave = {
      version,
      parent: id,
      until: id,
      pending: undefined,
      missing: 0,
      deadline: now + ROUTE_ACK_TIMEOUT,
    };
    this.#waves.set(id, wave);
    this.#start(now, id, life, wave, block);
  }

  #onOwnWave(now: number, { version, missing }: Wave): void {
    this.#missing = missing;
    if (missing === 0) this.#onOwnAcked(now, version);
    else if (now - this.#changedAt < ASK_AGAIN_FOR) {
      this.#askAgainAt = now + this.#askAgainAfter;
      this.#askAgainAfter = Math.min(2 * this.#askAgainAfter, ASK_AGAIN_MAX);
    }
  }

  #onOwnAcked(now: number, version: number): void {
    if (this.#expected.size > 0) {
      this.#missing = this.#expected.size;
      this.#askAgainAt = NEVER;
      return;
    }
    if (version > this.#ackedVersion) {
      this.#ackedVersion = version;
      this.#ackedTicket = this.#own.ticketOf(version);
      this.#own.forgetTickets(version);
      this.#missing = 0;
      this.#askAgainAfter = ROUTE_ACK_RETRY;
      this.#effects.acknowledged(this.#ackedTicket);
    }
    // What was sent meanwhile asked for no acknowledgement.
    this.#askAgainAt = this.#own.version > this.#ackedVersion ? now : NEVER;
    if (this.#askAgainAt === now) this.#effects.lookNow(now);
  }

  #askAgain(now: number): void {
    this.#askAgainAt = NEVER;
    const { version } = this.#own;
    if (this.#waves.has(this.#self.id)) return;
    if (version > this.#ackedVersion) this.#push(now, version, undefined);
    else if (!this.#own.hasPending && this.#expected.size === 0) {
      // Nothing had to be sent.
      this.#ackedTicket = this.#own.ticketOf(version);
      this.#effects.acknowledged(this.#ackedTicket);
    }
  }

  // --- Others' changes -----------------------------------------------------------------------------------------------

  /**
   * A change of another node is on its way to this one.
   *
   * @param from who sent it @param ack whether that one wants an acknowledgement
   * @param until the part of the ring that it is to be handed on to; this node's own id, or `undefined`: nobody
   */
  onPush(
    now: number,
    from: string,
    { id, version }: { readonly id: string; readonly version: number },
    ack: boolean,
    until: string | undefined,
  ): void {
    const part = until === this.#self.id ? undefined : until;
    if (!ack && part === undefined) return;
    const steps = part === undefined ? 0 : Math.log2(1 + this.#ring.between(part));
    this.#waves.set(id, {
      version,
      parent: ack ? from : undefined,
      until: part,
      pending: undefined,
      missing: 0,
      deadline: now + ROUTE_ACK_TIMEOUT + ACK_STEP * steps,
    });
  }

  /** A copy has the version that a change on its way is about: it is handed on, or acknowledged. */
  onAdvance(now: number, replica: Replica): void {
    const wave = this.#waves.get(replica.id);
    if (wave === undefined || wave.pending !== undefined || replica.version < wave.version) return;
    if (wave.until !== undefined && !mayHandOn(now, replica, wave.version)) {
      this.#waves.delete(replica.id);
      this.#effects.flood();
      return;
    }
    const block = replica.version === wave.version ? replica.lastChange : undefined;
    this.#start(now, replica.id, replica.life, wave, block);
  }

  /** @returns why it is refused */
  onAck(
    now: number,
    from: string,
    { id, life, version, missing }: RouteVersion & { missing: number },
  ): string | undefined {
    const wave = this.#waves.get(id);
    if (life !== this.#effects.lifeOf(id)) return "life";
    if (wave === undefined || wave.version !== version) return undefined;
    const count = wave.pending?.get(from);
    if (count === undefined) return "unasked";
    wave.pending?.delete(from);
    wave.missing += Math.min(missing, count);
    this.#settle(now, id, wave);
    return undefined;
  }

  // --- On their way --------------------------------------------------------------------------------------------------

  /** Sends a change to a part of the ring. @returns nodes that get it from nobody */
  #handOn(
    id: string,
    life: number,
    version: number,
    until: string,
    block: Buffer | undefined,
    ack: boolean,
    pending?: Map<string, number>,
  ): number {
    // Most of those that it goes to get the same bytes.
    let leaf: Buffer | undefined;
    return this.#ring.spread(until, ({ id: to, until: end, count }) => {
      if (to === id) return true;
      let item: Buffer;
      if (end === undefined) item = leaf ??= encodePush(ack, { id, life, version }, undefined, block);
      else item = encodePush(ack, { id, life, version }, end, block);
      if (this.#effects.send(to, item) !== "sent") return false;
      pending?.set(to, count);
      return true;
    });
  }

  #start(now: number, id: string, life: number, wave: Wave, block: Buffer | undefined): void {
    wave.pending = new Map();
    if (wave.until !== undefined) {
      const { pending } = wave;
      const ack = wave.parent !== undefined;
      wave.missing += this.#handOn(id, life, wave.version, wave.until, block, ack, ack ? pending : undefined);
    }
    this.#settle(now, id, wave);
  }

  #settle(now: number, origin: string, wave: Wave): void {
    if (wave.pending === undefined || wave.pending.size > 0) return;
    this.#waves.delete(origin);
    if (wave.parent === undefined) return;
    if (origin === this.#self.id) this.#onOwnWave(now, wave);
    else {
      const life = this.#effects.lifeOf(origin) ?? 0;
      this.#effects.send(wave.parent, encodeAck(origin, life, wave.version, wave.missing));
    }
  }

  #onTimeout(now: number, origin: string, wave: Wave): void {
    if (wave.pending === undefined) {
      // It has not come here itself.
      wave.pending = new Map();
      wave.missing += 1 + (wave.until === undefined ? 0 : this.#ring.between(wave.until));
    } else {
      for (const count of wave.pending.values()) wave.missing += count;
      wave.pending.clear();
    }
    this.#settle(now, origin, wave);
  }
}

/** The same change comes again where an acknowledgement is missing, but not more often than its origin asks. */
function mayHandOn(now: number, replica: Replica, version: number): boolean {
  if (version <= replica.handedOn && now - replica.handedOnAt < HAND_ON_PAUSE) return false;
  replica.handedOn = Math.max(version, replica.handedOn);
  replica.handedOnAt = now;
  return true;
}
