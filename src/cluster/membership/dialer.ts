/**
 * Pings to addresses rather than members: seeds, members that are dead, and those that were forgotten.
 */
import { MAX_SEEDS } from "../bounds.js";
import { PacketType, Update } from "../wire/packets.js";
import type { Context } from "./context.js";
import { type Member, MemberState } from "./members.js";
import type { Prober } from "./prober.js";
import type { Transmitter } from "./transmitter.js";

/** Dials of a dead member a redial interval, by the whole cluster; of one that was forgotten. */
const DIALS = 4;
const OLD_DIALS = 2;
/** Dials whose answers are known as such. */
const MAX_DIALS = 64;
const NEVER = Number.POSITIVE_INFINITY;

export class Dialer {
  readonly #context: Context;
  readonly #transmitter: Transmitter;
  readonly #prober: Prober;
  /** Addresses of configuration and discovery. */
  readonly #seeds = new Set<string>();
  /** Numbers of pings whose acks are answers to dials. */
  readonly #dials = new Set<number>();
  #nextRedial = NEVER;

  constructor(context: Context, transmitter: Transmitter, prober: Prober) {
    this.#context = context;
    this.#transmitter = transmitter;
    this.#prober = prober;
  }

  get wake(): number {
    return this.#nextRedial;
  }

  get seeds(): ReadonlySet<string> {
    return this.#seeds;
  }

  /** Dials addresses until a member is there. */
  join(addresses: readonly string[]): void {
    for (const address of addresses) {
      if (address === this.#context.self.address || this.#seeds.has(address)) continue;
      if (this.#seeds.size >= MAX_SEEDS) {
        this.#context.refuse("seeds");
        return;
      }
      this.#seeds.add(address);
      this.dial(address, undefined, false);
    }
    if (this.#seeds.size > 0) this.schedule(this.#context.profile.redialInterval / 4);
  }

  /** @param accusation of the one that is dialled, for it to refute */
  dial(address: string, accusation: Update | undefined, overStream: boolean): void {
    const seq = this.#prober.nextSeq();
    const [oldest] = this.#dials;
    if (this.#dials.size >= MAX_DIALS && oldest !== undefined) this.#dials.delete(oldest);
    this.#dials.add(seq);
    const own = this.#transmitter.ownAlive();
    const updates = accusation === undefined ? [own] : [own, accusation];
    this.#context.effects.send(
      address,
      this.#transmitter.packet(PacketType.PING, seq, 0, 0, "", "", updates),
      overStream,
    );
  }

  /** Whether an ack answers a dial. */
  answered(seq: number): boolean {
    return this.#dials.delete(seq);
  }

  /** Nobody is redialled any more. */
  stop(): void {
    this.#nextRedial = NEVER;
  }

  /** Redials within this time at most. */
  schedule(ms: number): void {
    this.#nextRedial = Math.min(this.#nextRedial, this.#context.now + ms * (0.5 + this.#context.random()));
  }

  /** The whole cluster shares the dials of its dead; a seed that nobody is at is dialled by each who was given it. */
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
        const update = Update.dead(
          member.id,
          member.start,
          member.count,
          member.reason,
          this.#context.self.short,
        );
        this.dial(member.address, update, this.#context.random() < 0.25);
      }
    }
    if (tombstoneAddresses.length > 0) {
      waits = true;
      if (this.#context.random() < (OLD_DIALS * tombstoneAddresses.length) / size) {
        const at = Math.floor(this.#context.random() * tombstoneAddresses.length);
        this.dial(tombstoneAddresses[at] as string, undefined, this.#context.random() < 0.25);
      }
    }
    if (this.#seeds.size > 0) {
      for (const member of live) this.#seeds.delete(member.address);
      waits ||= this.#seeds.size > 0;
      // All of them while nobody is there, one at a time then.
      const all = [...this.#seeds];
      const some = live.length === 0 ? all : [all[Math.floor(this.#context.random() * all.length)] as string];
      if (all.length > 0)
        for (const address of some) this.dial(address, undefined, this.#context.random() < 0.5);
    }
    if (waits) this.#nextRedial = now + redialInterval * (0.5 + this.#context.random());
  }
}
