/** Proofs at the beginning of a stream, keys of passwords, and how often refusals are reported. No sockets. */
import { createHmac, hkdfSync, scryptSync } from "node:crypto";
import { expect, it } from "vitest";
import {
  checkNamespaces,
  type Hellos,
  type ProvableNamespace,
  proveNamespaces,
  RefusalReports,
} from "../../../src/cluster/admission/proof.js";
import { namespaceNumber } from "../../../src/cluster/identity.js";
import { keyOfPassword } from "../../../src/cluster/node/options.js";
import { decodeProof, encodeHello, encodeProof, isControl } from "../../../src/cluster/wire/stream.js";
import { checkPassword, MAX_PASSWORD, SCRYPT } from "../../../src/core/password.js";
import { decodeZ85, encodeZ85 } from "../../../src/core/z85.js";
import { vectorsUnder } from "../../support/markdown.js";

const [KEY, OTHER] = [encodeZ85(Buffer.alloc(32, 7)), encodeZ85(Buffer.alloc(32, 8))];
const HELLOS: Hellos = {
  initiator: encodeHello(Buffer.alloc(32, 1), "10.0.0.1:7000"),
  responder: encodeHello(Buffer.alloc(32, 2), "10.0.0.2:7000"),
};
const namespace = (name: string, keys: readonly string[], byPassword = false): ProvableNamespace => ({
  namespace: namespaceNumber(name),
  keys,
  byPassword,
});
const A = namespaceNumber("a");

it("a proof of the same key is good, with the old key and with the new one of a rotation", () => {
  const shown = proveNamespaces([namespace("a", [KEY])], "initiator", HELLOS);
  for (const keys of [[KEY], [OTHER, KEY]])
    expect(checkNamespaces([namespace("a", keys)], "initiator", HELLOS, shown)).toEqual({
      proved: true,
      refused: [],
    });
});

it("another key, none, another namespace, another role and other nonces are each refused for their reason", () => {
  const refused = (
    own: ProvableNamespace,
    shown: ProvableNamespace,
    role: "initiator" | "responder",
    hellos = HELLOS,
  ) => {
    const result = checkNamespaces([own], role, hellos, proveNamespaces([shown], "initiator", HELLOS));
    expect(result.proved).toBe(false);
    return result.refused;
  };
  const [a, clear] = [namespace("a", [KEY]), namespace("a", [])];
  expect(refused(a, namespace("a", [OTHER]), "initiator")).toEqual([{ namespace: A, reason: "key" }]);
  expect(refused(namespace("a", [KEY], true), namespace("a", [OTHER]), "initiator")).toEqual([
    { namespace: A, reason: "password" },
  ]);
  expect(refused(a, clear, "initiator")).toEqual([{ namespace: A, reason: "unsealed" }]);
  expect(refused(clear, a, "initiator")).toEqual([{ namespace: A, reason: "key" }]);
  expect(refused(a, namespace("b", [KEY]), "initiator")).toEqual([
    { namespace: undefined, reason: "cluster" },
  ]);
  // Reflected: what this end showed as the initiator comes back from the responder.
  expect(refused(a, a, "responder")).toEqual([{ namespace: A, reason: "replayed" }]);
  const later = { ...HELLOS, responder: encodeHello(Buffer.alloc(32, 3), "10.0.0.2:7000") };
  expect(refused(a, a, "initiator", later)).toEqual([{ namespace: A, reason: "replayed" }]);
  const elsewhere = { ...HELLOS, initiator: encodeHello(Buffer.alloc(32, 1), "10.0.0.9:7000") };
  expect(refused(a, a, "initiator", elsewhere)).toEqual([{ namespace: A, reason: "replayed" }]);
});

it("an end without a namespace, which starts or has left, is not of another cluster", () => {
  const nothing = { proved: false, refused: [] };
  const shown = proveNamespaces([namespace("a", [KEY])], "initiator", HELLOS);
  expect(checkNamespaces([], "initiator", HELLOS, shown)).toEqual(nothing);
  expect(checkNamespaces([namespace("a", [KEY])], "initiator", HELLOS, [])).toEqual(nothing);
});

it("one proved namespace is enough, and the others are refused", () => {
  const shown = proveNamespaces([namespace("a", [KEY]), namespace("b", [KEY])], "initiator", HELLOS);
  expect(
    checkNamespaces(
      [namespace("a", [OTHER]), namespace("b", [KEY]), namespace("c", [])],
      "initiator",
      HELLOS,
      shown,
    ),
  ).toEqual({
    proved: true,
    refused: [{ namespace: A, reason: "key" }],
  });
});

it("a namespace is checked once: what a stranger shows for it again costs nothing", () => {
  const shown = [OTHER, KEY].flatMap((key) => proveNamespaces([namespace("a", [key])], "initiator", HELLOS));
  expect(checkNamespaces([namespace("a", [KEY])], "initiator", HELLOS, shown)).toEqual({
    proved: false,
    refused: [{ namespace: A, reason: "key" }],
  });
});

it("a proof's bytes are those of the specification, and a wrong length is none", () => {
  const rows = Object.fromEntries(vectorsUnder("spec/cluster.md", "Vectors of a proof"));
  const proofs = proveNamespaces([namespace("default", [KEY])], "initiator", HELLOS);
  const frame = encodeProof(proofs);
  const responder = encodeProof(proveNamespaces([namespace("default", [KEY])], "responder", HELLOS));
  const key = decodeZ85(keyOfPassword("correct horse battery", "default"));
  expect(rows).toEqual({
    "key of the password `correct horse battery`": key.toString("hex"),
    "PROOF of the initiator": frame.toString("hex"),
    "PROOF of the responder": responder.toString("hex"),
    REFUSED: "40",
  });
  // By the words of the specification, not by this code.
  const secret = Buffer.from(hkdfSync("sha256", Buffer.alloc(32, 7), "", "shoal link proof 1", 32));
  const head = Buffer.from("0137a8eec1ce19", "hex");
  const proof = createHmac("sha256", secret).update(head).update(HELLOS.initiator).update(HELLOS.responder);
  expect(frame.subarray(11).toString("hex")).toBe(proof.digest("hex"));
  expect(isControl(frame)).toBe(true);
  expect(decodeProof(frame)).toEqual(proofs);
  expect(decodeProof(frame.subarray(0, frame.length - 1))).toBeUndefined();
  expect(decodeProof(Buffer.alloc(1 + 65 * 42, 0x41))).toBeUndefined();
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
