/** Heartbeats by multicast, answers to `discover`, and requests for a sign of life. */
import { DeathReason, type Packet, PacketType } from "../wire/packets.js";
import type { Context } from "./context.js";
import type { LifeCycle } from "./life-cycle.js";
import type { Member } from "./members.js";

interface Answer {
  readonly at: number;
  readonly address: string;
}

export class Heartbeats {
  readonly #context: Context;
  readonly #lifeCycle: LifeCycle;
  readonly #answers: Answer[] = [];
  #nextBeat: number;

  constructor(context: Context, lifeCycle: LifeCycle) {
    this.#context = context;
    this.#lifeCycle = lifeCycle;
    this.#nextBeat = context.now + context.random() * context.profile.heartbeatInterval;
  }

  get wake(): number {
    let wake = this.#nextBeat;
    for (const { at } of this.#answers) if (at < wake) wake = at;
    return wake;
  }

  tick(now: number): void {
    if (now >= this.#nextBeat) this.#onBeatTime(now);
    if (this.#answers.length > 0) this.#sendAnswers(now);
  }

  stop(at: number): void {
    this.#answers.length = 0;
    this.#nextBeat = at;
  }

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
      if (now - member.lastHeard > ttl || now > member.expectedBy)
        this.#lifeCycle.die(member, DeathReason.TTL, false);
  }

  /** Asks all members to expect a sign of life from one that this node cannot reach. */
  expect(member: Member): void {
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
    if (member?.isLive) this.#lifeCycle.expect(member);
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
}
