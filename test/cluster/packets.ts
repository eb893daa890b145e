/** Packets of every kind, generated and by hand. */

import { BUCKETS } from "../../src/cluster/bounds.js";
import { createDetails, type Details } from "../../src/cluster/details.js";
import { Packet, PacketType, Update } from "../../src/cluster/wire/packets.js";
import fc from "../support/properties.js";

export const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => {
  bytes[15] = (bytes[15] as number) | 1;
  return Buffer.from(bytes).toString("hex");
});
const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const word = fc.stringMatching(/^[a-zäß0-9._-]{1,12}$/);
// The length of the longest one takes two bytes.
const name = fc.oneof(
  fc.tuple(word, word).map(([a, b]) => `${a}@${b}`),
  fc.constant(`${"n".repeat(126)}@h`),
);
const address = fc.tuple(word, fc.nat(65_535)).map(([host, port]) => `${host}:${port}`);
const details: fc.Arbitrary<Details> = fc
  .tuple(
    u32,
    fc.uniqueArray(word, { maxLength: 6 }),
    fc.dictionary(word, fc.string({ maxLength: 20, unit: "grapheme" }), { maxKeys: 5 }),
    fc.array(address, { maxLength: 3 }),
  )
  .map(([version, tags, props, endpoints]) => createDetails(version, tags, props, endpoints));

const life = fc.record({ id, start: u48, count: u32 });

export const update: fc.Arbitrary<Update> = fc.oneof(
  fc
    .record({
      id,
      start: u48,
      count: u32,
      name,
      address,
      flags: fc.nat(255),
      version: u32,
      processStart: fc.option(u48, { nil: undefined }),
    })
    .map((fields) => Update.alive(fields)),
  fc
    .tuple(life, fc.array(u32, { minLength: 1, maxLength: 8 }))
    .map(([about, accusers]) => Update.suspect(about, accusers)),
  fc.tuple(life, fc.nat(255), u32).map(([about, reason, accuser]) => Update.dead(about, reason, accuser)),
  life.map((about) => Update.left(about)),
  fc.tuple(id, u48, u32, fc.boolean()).map(([a, b, c, d]) => Update.removal(a, b, c, d)),
  fc.tuple(id, u48, details).map(([a, b, c]) => Update.details(a, b, c)),
);

/** A packet with what its type has, and nothing else. */
export const packet: fc.Arbitrary<Packet> = fc
  .tuple(
    fc.constantFrom(...Object.values(PacketType)),
    fc.tuple(id, u48, u32, u32),
    fc.tuple(u32, u32, fc.nat(255), id, address),
    fc.uint32Array({ minLength: BUCKETS, maxLength: BUCKETS }),
    fc.array(update, { maxLength: 8 }),
    fc.uint8Array({ maxLength: 400 }),
  )
  .map(([type, [from, start, count, digest], [seq, target, flags, about, place], buckets, items, data]) => {
    const has = (...types: PacketType[]): boolean => types.includes(type);
    const { PING, ACK, PING_REQ, NACK, HEARTBEAT, DISCOVER, EXPECT, SYNC, ENTRIES, MESSAGE } = PacketType;
    const small = has(DISCOVER) ? 65_535 : 2 ** 32 - 1;
    return new Packet(
      { type, from, start, count, digest },
      {
        seq: has(PING, ACK, PING_REQ, NACK, DISCOVER) ? seq % (small + 1) : 0,
        target: has(PING, DISCOVER) ? target % (small + 1) : 0,
        flags: has(ACK, HEARTBEAT, SYNC, ENTRIES) ? flags : 0,
        about: has(PING_REQ, EXPECT) ? about : "",
        address: has(PING_REQ) ? place : "",
        buckets: has(SYNC) ? buckets : undefined,
        wanted: has(ENTRIES) ? [seq, target] : undefined,
        updates: items,
        data: has(MESSAGE) ? data : undefined,
      },
    );
  });
