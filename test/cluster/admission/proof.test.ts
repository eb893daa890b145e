/** Proofs at the beginning of a stream, keys of passwords, and how often refusals are reported. No sockets. */
import { scryptSync } from "node:crypto";
import { beforeAll, expect, it } from "vitest";
import { checkNamespaces, RefusalReports } from "../../../src/cluster/admission/proof.js";
import { namespaceNumber } from "../../../src/cluster/identity.js";
import { NamespaceCodec } from "../../../src/cluster/net/namespace-codec.js";
import { keyOfPassword } from "../../../src/cluster/node/options.js";
import type { StreamWay } from "../../../src/cluster/wire/seal.js";
import {
  decodeProof,
  encodeHello,
  encodeProof,
  isControl,
  streamWays,
} from "../../../src/cluster/wire/stream.js";
import { checkPassword, MAX_PASSWORD, SCRYPT } from "../../../src/core/password.js";
import { decodeZ85, encodeZ85 } from "../../../src/core/z85.js";
import { loadCurveBox } from "../../../src/engine/zmtp/mechanism/curve-primitives.js";
import { vectorsUnder } from "../../support/markdown.js";

const [KEY, OTHER] = [encodeZ85(Buffer.alloc(32, 7)), encodeZ85(Buffer.alloc(32, 8))];
const INITIATOR = encodeHello(Buffer.alloc(32, 1), "10.0.0.1:7000");
const RESPONDER = encodeHello(Buffer.alloc(32, 2), "10.0.0.2:7000");
const way = (initiator = INITIATOR, responder = RESPONDER): StreamWay =>
  streamWays(initiator, responder).toResponder;
const codec = (name: string, keys: readonly string[], byPassword = false): NamespaceCodec =>
  new NamespaceCodec(name, keys, byPassword);
const A = namespaceNumber("a");

beforeAll(() => loadCurveBox());

/** Proofs of the initiator. */
function prove(...codecs: readonly NamespaceCodec[]): Buffer[] {
  const out = way();
  return codecs.map((each) => each.prove(out));
}

it("a proof of the same key is good, with the old key and with the new one of a rotation", () => {
  for (const keys of [[KEY], [OTHER, KEY]])
    expect(checkNamespaces([codec("a", keys)], way(), prove(codec("a", [KEY])))).toEqual({
      proved: true,
      refused: [],
    });
  expect(checkNamespaces([codec("a", [])], way(), prove(codec("a", [])))).toMatchObject({ proved: true });
});

it("another key, none, another namespace, another direction and other hellos are each refused for their reason", () => {
  const refused = (own: NamespaceCodec, shown: NamespaceCodec, of = way()) => {
    const result = checkNamespaces([own], of, prove(shown));
    expect(result.proved).toBe(false);
    return result.refused;
  };
  const [a, clear] = [codec("a", [KEY]), codec("a", [])];
  expect(refused(a, codec("a", [OTHER]))).toEqual([{ namespace: A, reason: "key" }]);
  expect(refused(codec("a", [KEY], true), codec("a", [OTHER]))).toEqual([
    { namespace: A, reason: "password" },
  ]);
  expect(refused(a, clear)).toEqual([{ namespace: A, reason: "unsealed" }]);
  expect(refused(clear, a)).toEqual([{ namespace: A, reason: "key" }]);
  expect(refused(a, codec("b", [KEY]))).toEqual([{ namespace: undefined, reason: "cluster" }]);
  const replayed = [{ namespace: A, reason: "replayed" }];
  // Reflected: what this end showed as the initiator comes back from the responder.
  expect(refused(a, a, streamWays(INITIATOR, RESPONDER).toInitiator)).toEqual(replayed);
  expect(refused(a, a, way(INITIATOR, encodeHello(Buffer.alloc(32, 3), "10.0.0.2:7000")))).toEqual(replayed);
  expect(refused(a, a, way(encodeHello(Buffer.alloc(32, 1), "10.0.0.9:7000")))).toEqual(replayed);
});

it("a proof of which any bit was changed proves nothing", () => {
  const [proof] = prove(codec("a", [KEY])) as [Buffer];
  for (let at = 0; at < proof.length; at++) {
    const changed = Buffer.from(proof);
    changed[at] = (changed[at] as number) ^ 1;
    expect(checkNamespaces([codec("a", [KEY])], way(), [changed]).proved, `byte ${at}`).toBe(false);
  }
});

it("an end without a namespace, which starts or has left, is not of another cluster", () => {
  const nothing = { proved: false, refused: [] };
  expect(checkNamespaces([], way(), prove(codec("a", [KEY])))).toEqual(nothing);
  expect(checkNamespaces([codec("a", [KEY])], way(), [])).toEqual(nothing);
});

it("one proved namespace is enough, and the others are refused", () => {
  const own = [codec("a", [OTHER]), codec("b", [KEY]), codec("c", [])];
  expect(checkNamespaces(own, way(), prove(codec("a", [KEY]), codec("b", [KEY])))).toEqual({
    proved: true,
    refused: [{ namespace: A, reason: "key" }],
  });
});

it("a namespace is checked once: what a stranger shows for it again costs nothing", () => {
  const shown = prove(codec("a", [OTHER]), codec("a", [KEY]));
  expect(checkNamespaces([codec("a", [KEY])], way(), shown)).toEqual({
    proved: false,
    refused: [{ namespace: A, reason: "key" }],
  });
});

it("a proof's bytes are those of the specification, and a wrong length is none", () => {
  const rows = Object.fromEntries(vectorsUnder("spec/cluster.md", "Vectors of a proof"));
  const { toResponder, toInitiator } = streamWays(INITIATOR, RESPONDER);
  const own = codec("default", [KEY]);
  const proofs = [own.prove(toResponder)];
  const frame = encodeProof(proofs);
  const key = decodeZ85(keyOfPassword("correct horse battery", "default"));
  expect(rows).toEqual({
    "key of the password `correct horse battery`": key.toString("hex"),
    "PROOF of the initiator": frame.toString("hex"),
    "PROOF of the responder": encodeProof([own.prove(toInitiator)]).toString("hex"),
    REFUSED: "40",
  });
  expect(isControl(frame)).toBe(true);
  expect(decodeProof(frame)).toEqual(proofs);
  expect(decodeProof(frame.subarray(0, frame.length - 1))).toBeUndefined();
  expect(decodeProof(Buffer.concat([Buffer.of(0x41), Buffer.alloc(65)]))).toBeUndefined();
});

it("a password gives another key on each namespace, by scrypt, and has 8 to 1,024 bytes", () => {
  const [a, b] = ["a", "b"].map((name) => keyOfPassword("swordfish", name));
  expect(a).not.toBe(b);
  const { cost: N, blockSize: r, parallelization: p } = SCRYPT;
  const salt = "shoal cluster password 1 a";
  expect(a).toBe(encodeZ85(scryptSync("swordfish", salt, 32, { N, r, p, maxmem: 2 ** 26 })));
  const EINVAL = expect.objectContaining({ code: "EINVAL" });
  for (const wrong of ["", "seven77", "x".repeat(MAX_PASSWORD + 1)])
    expect(() => keyOfPassword(wrong, "a")).toThrow(EINVAL);
  checkPassword("pässwör"); // 9 bytes.
});

it("refusals are reported once a minute for a host and reason, and a few a second in all", () => {
  const reports = new RefusalReports();
  expect(reports.allows(0, "10.0.0.1", "key")).toBe(true);
  expect(reports.allows(59_999, "10.0.0.1", "key")).toBe(false);
  expect(reports.allows(59_999, "10.0.0.1", "cluster")).toBe(true);
  expect(reports.allows(60_000, "10.0.0.1", "key")).toBe(true);
  let reported = 0;
  // 10,000 hosts in a second.
  for (let each = 0; each < 10_000; each++)
    if (reports.allows(100_000 + each / 10, `10.1.${each >> 8}.${each & 255}`, "key")) reported += 1;
  expect(reported).toBeLessThanOrEqual(9);
  // The table forgets, and is as large as it says: the hosts of an hour.
  for (let each = 0; each < 3_600; each++) reports.allows(200_000 + each * 1_000, `10.2.0.${each}`, "key");
  expect(reports.size).toBeLessThanOrEqual(256);
});
