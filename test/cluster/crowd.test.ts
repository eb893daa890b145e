/** One node among ten thousand members, which are played: a world of so many real ones would have a hundred million records. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { createDetails } from "../../src/cluster/details.js";
import { Membership } from "../../src/cluster/membership/membership.js";
import { PROFILES } from "../../src/cluster/profiles.js";
import { bodySize } from "../../src/cluster/wire/codec.js";
import { Packet, PacketType, Update } from "../../src/cluster/wire/packets.js";
import { SEAL_OVERHEAD } from "../../src/cluster/wire/seal.js";

const START = 1_800_000_000_000;
const COUNT = 10_000;

function idOf(n: number): string {
  const mixed = (Math.imul(n, 2_654_435_761) >>> 0).toString(16).padStart(8, "0");
  return mixed + (n + 1).toString(16).padStart(8, "0").repeat(3);
}

const played = (
  n: number,
  type: PacketType,
  seq: number,
  flags: number,
  digest: number,
  updates: Update[],
): Packet =>
  new Packet(type, idOf(n), START, 0, digest, seq, 0, flags, "", "", undefined, undefined, updates);

describe("a node among ten thousand", () => {
  it("sends at most 2 kB a second while nothing happens, and keeps at most 2 KiB a member", () => {
    setFlagsFromString("--expose_gc");
    const collect = runInNewContext("gc") as () => void;
    let now = 0;
    let bytes = 0;
    const pings: { readonly at: number; readonly n: number; readonly seq: number }[] = [];
    const count = (packet: Packet): void => {
      const size = packet.updates.reduce((sum, update) => sum + update.size, 0);
      bytes += SEAL_OVERHEAD + bodySize(packet.type, packet.address.length) + size;
    };
    let seed = 1;
    const random = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return seed / 2 ** 32;
    };
    const rules: Membership = new Membership({
      self: { id: idOf(COUNT), name: "me@host", address: "10.0.0.1:7000", start: START },
      profile: PROFILES.lan,
      random,
      now,
      effects: {
        send: (address, packet, overStream) => {
          count(packet);
          if (packet.type === PacketType.PING && !overStream)
            pings.push({ at: now + 2, n: Number(address.split(":")[1]), seq: packet.seq });
        },
        multicast: count,
        event: () => {},
      },
    });
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let first = 0; first < COUNT; first += 32) {
      const updates: Update[] = [];
      for (let n = first; n < Math.min(COUNT, first + 32); n++) {
        const details = createDetails(1, ["billing", `zone-${n}`], { version: "2.1" }, [
          `tcp://10.0.0.2:${n}`,
        ]);
        updates.push(Update.alive(idOf(n), START, 0, `node-${n}@host-${n}`, `10.0.0.2:${n}`, 0, 1));
        updates.push(Update.details(idOf(n), START, details));
      }
      const isLast = first + 32 >= COUNT ? 1 : 0;
      rules.onPacket(now, played(0, PacketType.ENTRIES, 0, isLast, 0, updates), "10.0.0.2:0", true);
    }
    expect(rules.size).toBe(COUNT + 1);
    const run = (until: number): void => {
      for (; now < until; now++) {
        while (pings[0] !== undefined && pings[0].at <= now) {
          const { n, seq } = pings.shift() as (typeof pings)[0];
          rules.onPacket(now, played(n, PacketType.ACK, seq, 0, rules.digest, []), `10.0.0.2:${n}`, false);
        }
        if (now % 500 === 7) {
          const n = Math.floor(random() * COUNT);
          rules.onPacket(now, played(n, PacketType.PING, 5, 0, rules.digest, []), `10.0.0.2:${n}`, false);
        }
        if (rules.nextWakeUp() <= now) rules.tick(now);
      }
    };
    run(180_000);
    bytes = 0;
    run(240_000);
    expect(rules.size).toBe(COUNT + 1);
    expect(bytes / 60).toBeGreaterThan(200);
    expect(bytes / 60).toBeLessThanOrEqual(2_000);
    collect();
    expect((process.memoryUsage().heapUsed - before) / COUNT).toBeLessThanOrEqual(2_048);
  });
});
