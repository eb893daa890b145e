/** The exchange of nodes' keys at the beginning of a stream. No sockets. */
import { beforeAll, expect, it } from "vitest";
import { checkCurve, IdentityExchange } from "../../../src/cluster/admission/identities.js";
import type { Hellos, LinkRole } from "../../../src/cluster/admission/proof.js";
import { encodeHello } from "../../../src/cluster/wire/stream.js";
import { encodeZ85 } from "../../../src/core/z85.js";
import { type KeyPair, keyPairOf } from "../../../src/engine/zmtp/mechanism/curve-box.js";
import { loadCurveBox } from "../../../src/engine/zmtp/mechanism/curve-primitives.js";
import { curveKeyPair } from "../../../src/sockets/security/curve-keys.js";
import { thrown } from "../../contract/support/wait.js";
import { vectorsUnder } from "../../support/markdown.js";

beforeAll(async () => {
  await loadCurveBox();
});

const HELLOS: Hellos = {
  initiator: encodeHello(Buffer.alloc(32, 1), "10.0.0.1:7000"),
  responder: encodeHello(Buffer.alloc(32, 2), "10.0.0.2:7000"),
};
const pair = (byte: number): KeyPair => keyPairOf(Buffer.alloc(32, byte));
const IDS: Readonly<Record<LinkRole, string>> = { initiator: "a1".repeat(16), responder: "b2".repeat(16) };

function both(): Readonly<Record<LinkRole, IdentityExchange>> {
  const initiator = new IdentityExchange(pair(3), IDS.initiator, "initiator", pair(5));
  const responder = new IdentityExchange(pair(4), IDS.responder, "responder", pair(6));
  expect([initiator.onKey(responder.key), responder.onKey(initiator.key)]).toEqual([true, true]);
  return { initiator, responder };
}

it("each end learns the other's key and id, and both have one secret that no other stream has", () => {
  const { initiator, responder } = both();
  expect(responder.open(initiator.identity(HELLOS), HELLOS)).toEqual({
    publicKey: encodeZ85(pair(3).publicKey),
    id: IDS.initiator,
  });
  expect(initiator.open(responder.identity(HELLOS), HELLOS)).toEqual({
    publicKey: encodeZ85(pair(4).publicKey),
    id: IDS.responder,
  });
  expect(initiator.secret(HELLOS)).toEqual(responder.secret(HELLOS));
  const other = { ...HELLOS, responder: encodeHello(Buffer.alloc(32, 9), "10.0.0.2:7000") };
  expect(initiator.secret(other)).not.toEqual(responder.secret(HELLOS));
});

it("what is recorded, reflected, changed, or of another stream proves nothing", () => {
  const { initiator, responder } = both();
  const frame = initiator.identity(HELLOS);
  // Reflected to the end that made it, and taken for the other role's.
  expect(initiator.open(frame, HELLOS)).toBeUndefined();
  expect(responder.open(responder.identity(HELLOS), HELLOS)).toBeUndefined();
  const later = { ...HELLOS, initiator: encodeHello(Buffer.alloc(32, 8), "10.0.0.1:7000") };
  expect(responder.open(frame, later)).toBeUndefined();
  // Recorded: the responder of the next stream has another ephemeral key.
  const next = new IdentityExchange(pair(4), IDS.responder, "responder");
  next.onKey(initiator.key);
  expect(next.open(frame, HELLOS)).toBeUndefined();
  for (let at = 1; at < frame.length; at += 7) {
    const changed = Buffer.from(frame);
    changed[at] = (changed[at] as number) ^ 1;
    expect(responder.open(changed, HELLOS), `byte ${at}`).toBeUndefined();
  }
  for (const length of [0, 1, frame.length - 1])
    expect(responder.open(frame.subarray(0, length), HELLOS)).toBeUndefined();
});

it("a key that another owns cannot be claimed, with its public half and every other secret", () => {
  // The thief has the initiator's public key and its ephemeral key, not its secret key.
  const thief: KeyPair = { ...pair(7), publicKey: pair(3).publicKey };
  const initiator = new IdentityExchange(thief, IDS.initiator, "initiator", pair(5));
  const responder = new IdentityExchange(pair(4), IDS.responder, "responder", pair(6));
  initiator.onKey(responder.key);
  responder.onKey(initiator.key);
  expect(responder.open(initiator.identity(HELLOS), HELLOS)).toBeUndefined();
});

it("a KEY is refused that is this end's own, a second one, too short, or a point that fits every key", () => {
  const fresh = (): IdentityExchange => new IdentityExchange(pair(3), IDS.initiator, "initiator", pair(5));
  expect(fresh().onKey(fresh().key)).toBe(false);
  expect(fresh().onKey(Buffer.alloc(33, 0).fill(0x42, 0, 1))).toBe(false);
  expect(fresh().onKey(Buffer.alloc(32, 0x42))).toBe(false);
  const twice = fresh();
  const other = new IdentityExchange(pair(4), IDS.responder, "responder", pair(6)).key;
  expect([twice.onKey(other), twice.onKey(other)]).toEqual([true, false]);
});

it("its bytes are those of the specification", () => {
  const rows = Object.fromEntries(vectorsUnder("spec/cluster.md", "Vectors of identities"));
  const { initiator, responder } = both();
  expect(rows).toEqual({
    "KEY of the initiator": initiator.key.toString("hex"),
    "KEY of the responder": responder.key.toString("hex"),
    "IDENTITY of the responder": responder.identity(HELLOS).toString("hex"),
    "IDENTITY of the initiator": initiator.identity(HELLOS).toString("hex"),
    "secret of the stream": initiator.secret(HELLOS).toString("hex"),
  });
});

it("wrong options are refused, and a secret key is never in the message", () => {
  const [own, other] = [curveKeyPair(), curveKeyPair()];
  const wrong: readonly unknown[] = [
    null,
    {},
    { ...own },
    { ...own, allow: "" },
    { ...own, allow: ["short"] },
    { ...own, allow: 7 },
    { ...own, allow: () => true },
    { ...own, publicKey: other.publicKey, allow: [] },
    { ...own, secretKey: "x".repeat(40), allow: [] },
    { ...own, allow: [], alow: [] },
  ];
  for (const options of wrong) {
    const { code, message } = thrown(() => checkCurve(options as never));
    expect([code, message]).toEqual(["EINVAL", expect.not.stringContaining(own.secretKey)]);
  }
  expect(checkCurve({ ...own, allow: [other.publicKey] })).toBeTruthy();
});
