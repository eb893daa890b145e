/**
 * One node among thousands of simulated members, since a world of that many nodes would have a hundred million records.
 * The members answer its pings, and one of them pings it each probe interval.
 */
import { createDetails } from "../../../src/cluster/details.js";
import { Membership } from "../../../src/cluster/membership/membership.js";
import { PROFILES } from "../../../src/cluster/profiles.js";
import { bodySize } from "../../../src/cluster/wire/codec.js";
import { Packet, PacketType, Update } from "../../../src/cluster/wire/packets.js";
import { SEAL_OVERHEAD } from "../../../src/cluster/wire/seal.js";

const START = 1_800_000_000_000;
/** Members per packet of a synchronization. */
const AT_ONCE = 32;
/** ms. */
const ROUND_TRIP = 2;

export class Crowd {
  readonly rules: Membership;
  readonly count: number;
  /** Bytes sent by the node, sealed, as on the wire. */
  bytes = 0;
  now = 0;
  readonly #pings: { readonly at: number; readonly n: number; readonly seq: number }[] = [];
  #seed = 1;

  constructor(count: number) {
    this.count = count;
    this.rules = new Membership({
      self: { id: idOf(count), name: "me@host", address: "10.0.0.1:7000", start: START },
      profile: PROFILES.lan,
      random: () => this.#random(),
      now: 0,
      effects: {
        send: (address, packet, overStream) => {
          this.#count(packet);
          if (packet.type === PacketType.PING && !overStream)
            this.#pings.push({
              at: this.now + ROUND_TRIP,
              n: Number(address.split(":")[1]),
              seq: packet.seq,
            });
        },
        multicast: (packet) => this.#count(packet),
        event: () => undefined,
      },
    });
  }

  /** Each member has two tags, a prop and an endpoint. */
  join(): void {
    for (let first = 0; first < this.count; first += AT_ONCE) {
      const updates: Update[] = [];
      for (let n = first; n < Math.min(this.count, first + AT_ONCE); n++) {
        const details = createDetails(1, ["billing", `zone-${n}`], { version: "2.1" }, [
          `tcp://10.0.0.2:${n}`,
        ]);
        const [id, name, address] = [idOf(n), `node-${n}@host-${n}`, `10.0.0.2:${n}`];
        updates.push(Update.alive({ id, start: START, count: 0, name, address, version: 1 }));
        updates.push(Update.details(id, START, details));
      }
      const isLast = first + AT_ONCE >= this.count ? 1 : 0;
      this.#hand(0, PacketType.ENTRIES, 0, isLast, 0, updates, true);
    }
  }

  run(ms: number): void {
    const interval = PROFILES.lan.probeInterval;
    for (const until = this.now + ms; this.now < until; this.now++) {
      const { now, rules } = this;
      while (this.#pings[0] !== undefined && this.#pings[0].at <= now) {
        const { n, seq } = this.#pings.shift() as { n: number; seq: number };
        this.#hand(n, PacketType.ACK, seq, 0, rules.digest, [], false);
      }
      if (now % interval === 7)
        this.#hand(Math.floor(this.#random() * this.count), PacketType.PING, 5, 0, rules.digest, [], false);
      if (rules.nextWakeUp() <= now) rules.tick(now);
    }
  }

  #hand(
    n: number,
    type: PacketType,
    seq: number,
    flags: number,
    digest: number,
    updates: Update[],
    overStream: boolean,
  ): void {
    const head = { type, from: idOf(n), start: START, count: 0, digest };
    const packet = new Packet(head, { seq, flags, updates });
    this.rules.onPacket(this.now, packet, `10.0.0.2:${n}`, overStream);
  }

  #count(packet: Packet): void {
    const size = packet.updates.reduce((sum, update) => sum + update.size, 0);
    this.bytes += SEAL_OVERHEAD + bodySize(packet.type, packet.address.length) + size;
  }

  #random(): number {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#seed / 2 ** 32;
  }
}

function idOf(n: number): string {
  const mixed = (Math.imul(n, 2_654_435_761) >>> 0).toString(16).padStart(8, "0");
  return mixed + (n + 1).toString(16).padStart(8, "0").repeat(3);
}
