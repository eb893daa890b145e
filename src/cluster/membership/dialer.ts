/** Pings addresses instead of members: seeds, dead members and forgotten ones. */
import { LatestMap } from "../bounds.js";
import { PacketType, Update } from "../wire/packets.js";
import { type Context, NEVER, pick } from "./context.js";
import { type Member, MemberState } from "./members.js";
import type { Prober } from "./prober.js";

/** Dials of a dead member per redial interval by the whole cluster; of a forgotten one half as many. */
const DIALS = 4;

export class Dialer {
  readonly #context: Context;
  readonly #prober: Prober;
  #seeds: ReadonlySet<string> = new Set();
  /** Sequence numbers of the pings. */
  readonly #dials = new LatestMap<number, true>(64);
  #hasVacant = false;
  #nextRedial = NEVER;

  constructor(context: Context, prober: Prober) {
    this.#context = context;
    this.#prober = prober;
  }

  get wake(): number {
    return this.#nextRedial;
  }

  get seeds(): ReadonlySet<string> {
    return this.#seeds;
  }

  /** Dials new ones at once. */
  setSeeds(addresses: Iterable<string>): void {
    const before = this.#seeds;
    const seeds = new Set(addresses);
    seeds.delete(this.#context.self.address);
    this.#seeds = seeds;
    const added = [...seeds].filter((address) => !before.has(address));
    for (const address of added) this.dial(address, undefined, false);
    if (added.length === 0) return;
    this.#hasVacant = true;
    this.schedule(this.#context.profile.redialInterval / 4);
  }

  /** @param accusation for the dialled node to refute, or its admission */
  dial(address: string, accusation: Update | undefined, overStream: boolean): void {
    const seq = this.#prober.nextSeq();
    this.#dials.set(seq, true);
    const own = this.#context.ownAlive();
    const updates = accusation === undefined ? [own] : [own, accusation];
    this.#context.effects.send(address, this.#context.packet(PacketType.PING, { seq, updates }), overStream);
  }

  answered(seq: number): boolean {
    return this.#dials.delete(seq);
  }

  freed(address: string): void {
    if (!this.#seeds.has(address)) return;
    this.#hasVacant = true;
    this.schedule(this.#context.profile.redialInterval);
  }

  stop(): void {
    this.#nextRedial = NEVER;
  }

  schedule(ms: number): void {
    this.#nextRedial = Math.min(this.#nextRedial, this.#context.now + ms * (0.5 + this.#context.random()));
  }

  /** All nodes share the dials. An isolated node dials all its seeds. */
  tick(now: number): void {
    this.#nextRedial = NEVER;
    if (this.#context.left) return;
    const { dead, live, tombstoneAddresses, size } = this.#context.members;
    const { redialInterval } = this.#context.profile;
    let waits = false;
    if (dead.length > 0) {
      waits = true;
      const member = dead[Math.floor(this.#context.random() * dead.length)] as Member;
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
    if (waits) this.#nextRedial = now + redialInterval * (0.5 + this.#context.random());
  }

  #vacant(): readonly string[] {
    const { live, dead } = this.#context.members;
    const vacant = new Set(this.#seeds);
    for (const member of live) vacant.delete(member.address);
    for (const { state, address } of dead) if (state === MemberState.DEAD) vacant.delete(address);
    this.#hasVacant = vacant.size > 0;
    return [...vacant];
  }

  #dialSeed(address: string): void {
    this.dial(address, undefined, this.#context.random() < 0.5);
  }
}
