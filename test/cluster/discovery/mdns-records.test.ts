/** Messages of multicast DNS, and what a node makes of them: recorded from avahi, generated, and made up by a stranger. */
import { describe, expect, it } from "vitest";
import {
  type DnsMessage,
  type DnsRecord,
  DnsType,
  decodeDns,
  encodeDns,
} from "../../../src/cluster/discovery/dns-message.js";
import { MdnsRecords } from "../../../src/cluster/discovery/mdns.js";
import fc from "../../support/properties.js";

/** avahi 0.8's answer for `avahi-publish -s "Kitchen node 1.2" _shoal._udp 7946 group=kitchen`. */
const AVAHI = Buffer.from(
  "000084000000000500000000065f73686f616c045f756470056c6f63616c00000c0001000011940013104b69746368656e206e6f646520312e32c00cc0290010800100001194000e0d67726f75703d6b69746368656ec02900218001000000780012000000001f0a096176616869686f7374c018c068001c8001000000780010fe80000000000000206e08fffe81398ec068000180010000007800040a4d0001",
  "hex",
);
const SERVICE = "_shoal._udp.local";
const INSTANCE = `kitchen node 1\\.2.${SERVICE}`;
const self = (digit: string, group = "kitchen", address = `10.77.0.${digit}:7001`) => ({
  id: digit.repeat(32),
  name: `${digit}@host`,
  group,
  address,
});
const response = (...answers: DnsRecord[]): DnsMessage => ({
  isResponse: true,
  questions: [],
  answers,
  additionals: [],
});

describe("a message of multicast DNS", () => {
  it("of avahi is read with its compressed names", () => {
    expect(decodeDns(AVAHI)).toEqual({
      isResponse: true,
      questions: [],
      answers: [
        { name: SERVICE, type: DnsType.PTR, ttl: 4_500, data: INSTANCE },
        { name: INSTANCE, type: DnsType.TXT, ttl: 4_500, data: "group=kitchen" },
        { name: INSTANCE, type: DnsType.SRV, ttl: 120, data: "avahihost.local", port: 7_946 },
        { name: "avahihost.local", type: DnsType.AAAA, ttl: 120, data: "fe80:0:0:0:206e:8ff:fe81:398e" },
        { name: "avahihost.local", type: DnsType.A, ttl: 120, data: "10.77.0.1" },
      ],
      additionals: [],
    });
  });

  it("is the same after it was bytes", () => {
    const message: DnsMessage = {
      isResponse: true,
      questions: [{ name: INSTANCE, type: DnsType.ANY }],
      answers: [
        { name: SERVICE, type: DnsType.PTR, ttl: 120, data: INSTANCE },
        { name: INSTANCE, type: DnsType.SRV, ttl: 0, data: "a.local", port: 65_535 },
      ],
      additionals: [
        { name: INSTANCE, type: DnsType.TXT, ttl: 1, data: "group=x\nv=1" },
        { name: "a.local", type: DnsType.AAAA, ttl: 1, data: "fd00:0:0:0:0:0:0:1" },
        { name: "a.local", type: DnsType.A, ttl: 1, data: "10.0.0.1" },
      ],
    };
    expect(decodeDns(encodeDns(message))).toEqual(message);
    const short = decodeDns(
      encodeDns(response({ name: "a.local", type: DnsType.AAAA, ttl: 1, data: "fd00::1:0:2" })),
    );
    expect(short?.answers[0]?.data).toBe("fd00:0:0:0:0:1:0:2");
  });

  it("that is cut, changed or made up is read or refused, and never takes long", () => {
    for (let length = 0; length < AVAHI.length; length++)
      expect(decodeDns(AVAHI.subarray(0, length))).toBeUndefined();
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(AVAHI.length - 1), fc.nat(255)), { maxLength: 8 }), (changes) => {
        const bytes = Buffer.from(AVAHI);
        for (const [at, value] of changes) bytes[at] = value;
        decodeDns(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        decodeDns(Buffer.from(bytes));
      }),
    );
  });

  it("with pointers in a circle, forwards, or beyond the end is refused", () => {
    const head = "000000000001000000000000";
    for (const name of ["c00c", "c00e0000", "ffff", "0161c00c", "40aa", "05616263"])
      expect(decodeDns(Buffer.from(`${head}${name}000c0001`, "hex")), name).toBeUndefined();
  });
});

describe("what a node knows by multicast DNS", () => {
  it("has the nodes of its group, and not those of others, nor itself", () => {
    const records = new MdnsRecords(self("1"), SERVICE);
    expect(records.onResponse(0, decodeDns(AVAHI) as DnsMessage)).toBe(0);
    for (const other of [self("2"), self("3", "elsewhere"), self("1")])
      records.onResponse(
        0,
        decodeDns(encodeDns(new MdnsRecords(other, SERVICE).announcement())) as DnsMessage,
      );
    records.onResponse(
      0,
      response({ name: "avahihost.local", type: DnsType.AAAA, ttl: 120, data: "feb0:0:0:0:0:0:0:1" }),
    );
    // A link-local address is of no use without its interface.
    expect(records.addresses(1).sort()).toEqual(["10.77.0.1:7946", "10.77.0.2:7001"]);
    // What another leaves with, and what is not renewed, is gone.
    records.onResponse(
      2,
      decodeDns(encodeDns(new MdnsRecords(self("2"), SERVICE).announcement(0))) as DnsMessage,
    );
    expect(records.addresses(3)).toEqual(["10.77.0.1:7946"]);
    expect(records.addresses(120_001)).toEqual([]);
  });

  it("asks for what is missing, and says what it knows", () => {
    const records = new MdnsRecords(self("1"), SERVICE);
    expect(records.query(0)).toEqual({
      isResponse: false,
      questions: [{ name: SERVICE, type: DnsType.PTR }],
      answers: [],
      additionals: [],
    });
    const pointer = { name: SERVICE, type: DnsType.PTR, ttl: 120, data: `b.${SERVICE}` };
    records.onResponse(0, response(pointer));
    expect(records.query(1_000)).toMatchObject({
      questions: [{ name: SERVICE }, { name: `b.${SERVICE}`, type: DnsType.ANY }],
      answers: [{ ...pointer, ttl: 119 }],
    });
    records.onResponse(
      0,
      response({ name: `b.${SERVICE}`, type: DnsType.SRV, ttl: 120, data: "b.local", port: 1 }),
    );
    expect(records.query(61_000)).toMatchObject({
      questions: [{ name: SERVICE }, { name: "b.local", type: DnsType.ANY }],
      answers: [],
    });
  });

  it("answers who asks for it, unless they know", () => {
    const records = new MdnsRecords(self("1"), SERVICE);
    const own = records.announcement();
    const asks = (name: string, type: number, answers: readonly DnsRecord[] = []): boolean =>
      records.isAsked({ isResponse: false, questions: [{ name, type }], answers, additionals: [] });
    expect(asks(SERVICE, DnsType.PTR)).toBe(true);
    expect(asks(SERVICE, DnsType.PTR, own.answers)).toBe(false);
    expect(asks(SERVICE, DnsType.PTR, [{ ...(own.answers[0] as DnsRecord), ttl: 30 }])).toBe(true);
    expect(asks(`${"1".repeat(32)}.${SERVICE}`, DnsType.SRV)).toBe(true);
    expect(asks(`${"1".repeat(32)}.local`, DnsType.A)).toBe(true);
    expect(asks("_ipp._tcp.local", DnsType.PTR)).toBe(false);
  });

  it("is bounded, whatever a stranger says", () => {
    const records = new MdnsRecords(self("1"), SERVICE);
    const pointers = Array.from({ length: 5_000 }, (_, i) => ({
      name: SERVICE,
      type: DnsType.PTR,
      ttl: 4_294_967_295,
      data: `x${i}.${SERVICE}`,
    }));
    expect(records.onResponse(0, response(...pointers))).toBe(904);
    const others = [
      { name: "_ipp._tcp.local", type: DnsType.PTR, ttl: 120, data: "printer._ipp._tcp.local" },
      { name: SERVICE, type: DnsType.PTR, ttl: 120, data: "elsewhere.local" },
      { name: "stranger.local", type: DnsType.A, ttl: 120, data: "10.0.0.1" },
    ];
    const empty = new MdnsRecords(self("1"), SERVICE);
    empty.onResponse(0, response(...others));
    expect(empty.nextExpiry()).toBe(Number.POSITIVE_INFINITY);
    // Nothing is remembered for more than 75 minutes.
    expect(records.addresses(4_500_000)).toEqual([]);
    expect(records.nextExpiry()).toBe(Number.POSITIVE_INFINITY);
  });

  it("is bounded in what its records say, too, and has room again for what ended or was taken back", () => {
    const records = new MdnsRecords(self("1"), SERVICE);
    const texts = (ttl: number): DnsMessage =>
      response(
        ...Array.from({ length: 500 }, (_, i) => ({
          name: `x${i}.${SERVICE}`,
          type: DnsType.TXT,
          ttl,
          data: "x".repeat(8_000),
        })),
      );
    const refused = records.onResponse(0, texts(4_500));
    // A million characters.
    expect(500 - refused).toBe(130);
    // Those that are there are renewed.
    expect(records.onResponse(1_000, texts(4_500))).toBe(refused);
    records.onResponse(2_000, texts(0));
    expect(records.nextExpiry()).toBe(Number.POSITIVE_INFINITY);
    expect(records.onResponse(3_000, texts(120))).toBe(refused);
    expect(records.addresses(123_000)).toEqual([]);
    expect(records.onResponse(124_000, texts(120))).toBe(refused);
  });
});
