import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { InvalidArgumentError } from "../../../../src/core/errors.js";
import { encodeZ85 } from "../../../../src/core/z85.js";
import { encodeCommand, encodeMetadata } from "../../../../src/engine/zmtp/codec/command.js";
import {
  CurveClient,
  type CurveRandom,
  CurveServer,
  counter,
  nonce,
  SYSTEM_RANDOM,
  sealBox,
} from "../../../../src/engine/zmtp/mechanism/curve.js";
import { type CurveBox, keyPairOf } from "../../../../src/engine/zmtp/mechanism/curve-box.js";
import { OVERHEAD } from "../../../../src/engine/zmtp/mechanism/curve-cipher.js";
import type { MechanismOptions, Step } from "../../../../src/engine/zmtp/mechanism/mechanism.js";
import { LONG } from "../../../support/long.js";
import { bodyOf, CURVE_HELLO_BOX, CURVE_HELLO_SHA256, ERROR } from "../../../vectors/mechanism.js";
import {
  advanced,
  BOXES,
  knownRandom,
  LIBSODIUM,
  newPair,
  openSealed,
  optionsOf,
  outOfOrder,
  primitivesOf,
  properties,
  shake,
} from "./support.js";

// Each array is one key: what is found out about it is kept with it.
const SERVER = Buffer.alloc(32, 2);
const CLIENT = Buffer.alloc(32, 3);
const CLIENT_TRANSIENT = Buffer.alloc(32, 1);
const SERVER_TRANSIENT = Buffer.alloc(32, 4);
const SERVER_PUBLIC = keyPairOf(SERVER).publicKey;
const CLIENT_PUBLIC = keyPairOf(CLIENT).publicKey;

type Changes = Partial<MechanismOptions>;

function clientOf(box: CurveBox, random = SYSTEM_RANDOM, changes: Changes = {}): CurveClient {
  const keys = { curveSecretKey: CLIENT, curvePublicKey: CLIENT_PUBLIC, curveServerKey: SERVER_PUBLIC };
  const options = optionsOf({ properties: properties("PUSH"), ...keys, ...changes });
  return new CurveClient(options, primitivesOf(box), random);
}

function serverOf(box: CurveBox, random = SYSTEM_RANDOM, changes: Changes = {}): CurveServer {
  const keys = { curveSecretKey: SERVER, curvePublicKey: SERVER_PUBLIC };
  const options = optionsOf({ properties: properties("PULL"), ...keys, ...changes });
  return new CurveServer(options, primitivesOf(box), random);
}

const ofClient = () => knownRandom(CLIENT_TRANSIENT);
const ofServer = () => knownRandom(SERVER_TRANSIENT);

function only(step: Step): Buffer {
  expect(step.send).toHaveLength(1);
  return Buffer.from(step.send?.[0] as Uint8Array);
}

// What boxes owe to the handshake is in curve-primitives.test.ts.
describe.each(LONG ? BOXES : [LIBSODIUM])("with $name", (box) => {
  /** The four commands of a handshake whose random bytes are known: they are the same each time. */
  function transcript(): { HELLO: Buffer; WELCOME: Buffer; INITIATE: Buffer; READY: Buffer } {
    const { client, server } = shake(clientOf(box, ofClient()), serverOf(box, ofServer()));
    const [HELLO, INITIATE] = client.sent;
    const [WELCOME, READY] = server.sent;
    return { HELLO, WELCOME, INITIATE, READY } as ReturnType<typeof transcript>;
  }
  const known = transcript();

  /** Sides that have got as far as the name says, in that handshake. */
  const states: Record<string, () => CurveClient | CurveServer> = {
    "client, hello sent": () => advanced(clientOf(box, ofClient())),
    "client, initiate sent": () => advanced(clientOf(box, ofClient()), known.WELCOME),
    "client, over": () => advanced(clientOf(box, ofClient()), known.WELCOME, known.READY),
    "server, start": () => advanced(serverOf(box, ofServer())),
    "server, welcome sent": () => advanced(serverOf(box, ofServer()), known.HELLO),
    "server, asking": () => advanced(serverOf(box, ofServer(), { asks: true }), known.HELLO, known.INITIATE),
    "server, over": () => advanced(serverOf(box, ofServer()), known.HELLO, known.INITIATE),
  };
  const reach = (state: string) => states[state]?.() as CurveClient | CurveServer;
  const expects: readonly (readonly [keyof typeof known, string])[] = [
    ["HELLO", "server, start"],
    ["WELCOME", "client, hello sent"],
    ["INITIATE", "server, welcome sent"],
    ["READY", "client, initiate sent"],
  ];

  test("both sides learn the other's properties, then understand each other", () => {
    const [one, other] = [clientOf(box), serverOf(box)];
    const { client, server } = shake(one, other);
    expect(client.done).toEqual(new Map([["socket-type", Buffer.from("PULL")]]));
    expect(server.done).toEqual(new Map([["socket-type", Buffer.from("PUSH")]]));
    expect(client.sent.map((body) => body.length)).toEqual([200, 257 + properties("PUSH").length]);
    expect(server.sent.map((body) => body.length)).toEqual([168, 30 + properties("PULL").length]);
    for (const [from, to] of [
      [one.sealer, other.sealer],
      [other.sealer, one.sealer],
    ]) {
      for (const text of ["first", "", "third"]) {
        const sealed = Buffer.alloc(OVERHEAD + text.length);
        from?.sealFrame(1, Buffer.from(text), 0, text.length, sealed, 0);
        expect(openSealed(to, sealed)).toEqual({ flags: 1, body: Buffer.from(text) });
      }
    }
  });

  test("HELLO is the one that libzmq took", () => {
    const hello = only(clientOf(box, ofClient()).start());
    expect(hello.subarray(120, 136).toString("hex")).toBe(CURVE_HELLO_BOX);
    expect(createHash("sha256").update(hello).digest("hex").slice(0, 16)).toBe(CURVE_HELLO_SHA256);
  });

  test("counters begin at 1 and go on from the handshake to the messages", () => {
    const [one, other] = [clientOf(box), serverOf(box)];
    const { client, server } = shake(one, other);
    expect(client.sent[0]?.subarray(112, 120)).toEqual(counter(1));
    expect(client.sent[1]?.subarray(105, 113)).toEqual(counter(2));
    expect(server.sent[1]?.subarray(6, 14)).toEqual(counter(1));
    const sealed = Buffer.alloc(33);
    one.sealer?.sealFrame(0, Buffer.alloc(0), 0, 0, sealed, 0);
    expect(sealed.subarray(8, 16)).toEqual(counter(3));
    other.sealer?.sealFrame(0, Buffer.alloc(0), 0, 0, sealed, 0);
    expect(sealed.subarray(8, 16)).toEqual(counter(2));
  });

  test("a verdict that was not asked for is a fault", () => {
    for (const state of ["server, start", "server, welcome sent", "server, over", "client, hello sent"])
      expect(reach(state).authenticated(true).failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
  });

  describe("each damaged byte is a fault:", () => {
    test.each(expects)("%s", (name, state) => {
      // Each byte of the name, the versions and the nonce; of what is sealed, which one code covers, every third in the default run.
      for (let at = 0; at < known[name].length; at += LONG || at < 24 ? 1 : 3) {
        const damaged = Buffer.from(known[name]);
        damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
        const { failed, send, done, ask } = reach(state).receive(damaged);
        expect(failed, `byte ${at}`).toMatchObject({
          kind: "protocol",
          code: expect.stringMatching(/^ERR_ZMTP_/),
        });
        expect({ send, done, ask }).toEqual({ send: undefined, done: undefined, ask: undefined });
      }
      expect(reach(state).receive(known[name]).failed).toBeUndefined();
    });

    test("and the one bit of HELLO that X25519 does not read is caught by the vouch", () => {
      const hello = Buffer.from(known.HELLO);
      hello.writeUInt8(hello.readUInt8(111) ^ 0x80, 111);
      const client = clientOf(box);
      const honest = only(client.start());
      honest.writeUInt8(honest.readUInt8(111) ^ 0x80, 111);
      const server = serverOf(box);
      const initiate = only(client.receive(only(server.receive(honest))));
      expect(server.receive(initiate).failed).toMatchObject({ code: "ERR_ZMTP_KEY_EXCHANGE" });
    });
  });

  test.each(expects)("%s of any other length is a fault", (name, state) => {
    for (let length = 0; length < known[name].length; length += 7) {
      const cut = Buffer.from(known[name].subarray(0, length));
      expect(reach(state).receive(cut).failed).toMatchObject({
        kind: "protocol",
        code: expect.stringMatching(/^ERR_ZMTP_/),
      });
    }
    const longer = Buffer.concat([known[name], Buffer.from([0])]);
    const fixed = name === "HELLO" || name === "WELCOME"; // The others have properties at their end.
    const code = fixed ? `ERR_ZMTP_MALFORMED_COMMAND_${name}` : expect.stringMatching(/^ERR_ZMTP_/);
    expect(reach(state).receive(longer).failed).toMatchObject({ kind: "protocol", code });
    const malformed = encodeCommand(name, Buffer.alloc(15));
    expect(reach(state).receive(malformed).failed?.code).toBe(`ERR_ZMTP_MALFORMED_COMMAND_${name}`);
  });

  const due = expects.map(([name, state]) => `${state} gets ${name}`);

  const bodies = {
    ...known,
    MESSAGE: encodeCommand("MESSAGE", Buffer.alloc(25)),
    nothing: Buffer.alloc(0),
  };

  test.each(outOfOrder(states, bodies, due))("out of order is a fault: %s gets %s", (state, name) => {
    const side = reach(state);
    expect(side.receive(bodies[name]).failed).toMatchObject({ code: "ERR_ZMTP_UNEXPECTED_COMMAND" });
    for (const later of Object.values(bodies)) expect(side.receive(later).failed).toBeDefined();
    expect(side.authenticated(true).failed).toBeDefined();
  });

  describe("a recorded INITIATE opens nothing:", () => {
    test("on a new connection, after the same HELLO", () => {
      const side = serverOf(box);
      expect(side.receive(known.HELLO).send).toHaveLength(1);
      expect(side.receive(known.INITIATE).failed).toMatchObject({ code: "ERR_ZMTP_CRYPTOGRAPHIC" });
    });

    test("on a new connection, with that connection's cookie", () => {
      const side = serverOf(box);
      const welcome = only(side.receive(known.HELLO));
      // Only who has c' can read the cookie; say that it leaked.
      const plain = Buffer.alloc(128);
      const helloKey = box.agree(SERVER_PUBLIC, CLIENT_TRANSIENT) as Uint8Array;
      expect(
        box.open(plain, welcome.subarray(24), nonce("WELCOME-", welcome.subarray(8, 24)), helloKey),
      ).toBe(true);
      const forged = Buffer.from(known.INITIATE);
      forged.set(plain.subarray(32), 9);
      expect(side.receive(forged).failed).toMatchObject({ code: "ERR_ZMTP_CRYPTOGRAPHIC" });
    });
  });

  describe("a client that knows its own mind:", () => {
    /** An INITIATE made by hand, for a server that has seen the known HELLO. */
    function initiate(part: {
      vouched?: readonly [Buffer, Buffer];
      vouchFrom?: Buffer;
      claimed?: Buffer;
      metadata?: Buffer;
      count?: number;
    }): Step {
      const transient = keyPairOf(CLIENT_TRANSIENT);
      const serverTransient = keyPairOf(SERVER_TRANSIENT).publicKey;
      const vouchKey = box.agree(serverTransient, part.vouchFrom ?? CLIENT) as Uint8Array;
      const vouchNonce = Buffer.alloc(16, 9);
      const vouched = Buffer.concat(part.vouched ?? [transient.publicKey, SERVER_PUBLIC]);
      const vouch = sealBox(box, vouched, nonce("VOUCH---", vouchNonce), vouchKey);
      const plain = [part.claimed ?? CLIENT_PUBLIC, vouchNonce, vouch, part.metadata ?? properties("PUSH")];
      const short = counter(part.count ?? 2);
      const key = box.agree(serverTransient, transient.secretKey) as Uint8Array;
      const sealed = sealBox(box, Buffer.concat(plain), nonce("CurveZMQINITIATE", short), key);
      const cookie = known.INITIATE.subarray(9, 105);
      return reach("server, welcome sent").receive(
        encodeCommand("INITIATE", Buffer.concat([cookie, short, sealed])),
      );
    }

    // libzmq copied them into a buffer of a fixed size on its stack (CVE-2019-13132).
    test.each([256, 512, 4_096, 60_000])("metadata of %i bytes are read to their end", (length) => {
      const large = encodeMetadata([["X-Large", Buffer.alloc(length)]]);
      expect(
        initiate({ metadata: Buffer.concat([properties("PUSH"), large]) }).done?.get("x-large"),
      ).toHaveLength(length);
    });

    const transient = keyPairOf(CLIENT_TRANSIENT).publicKey;
    test.each([
      ["another's public key", "CRYPTOGRAPHIC", { claimed: newPair().publicKey }],
      ["a vouch for another connection", "KEY_EXCHANGE", { vouched: [newPair().publicKey, SERVER_PUBLIC] }],
      ["a vouch for another server", "KEY_EXCHANGE", { vouched: [transient, newPair().publicKey] }],
      ["a vouch by another client", "CRYPTOGRAPHIC", { vouchFrom: newPair().secretKey }],
      ["a counter that stands still", "INVALID_SEQUENCE", { count: 1 }],
      ["a counter that goes back", "INVALID_SEQUENCE", { count: 0 }],
      ["a key of which no secret comes", "KEY_EXCHANGE", { claimed: Buffer.alloc(32) }],
      [
        "malformed metadata",
        "INVALID_METADATA",
        { metadata: Buffer.concat([properties("A"), Buffer.of(7)]) },
      ],
    ] as [string, string, Parameters<typeof initiate>[0]][])("not with %s", (_, code, part) => {
      expect(initiate(part).failed).toMatchObject({ code: `ERR_ZMTP_${code}` });
    });
  });

  test("a HELLO whose box holds something else than zeros is malformed", () => {
    const hello = Buffer.from(known.HELLO);
    const key = box.agree(SERVER_PUBLIC, CLIENT_TRANSIENT) as Uint8Array;
    hello.set(sealBox(box, Buffer.alloc(64, 1), nonce("CurveZMQHELLO---", counter(1)), key), 120);
    expect(reach("server, start").receive(hello).failed?.code).toBe("ERR_ZMTP_MALFORMED_COMMAND_HELLO");
  });

  test("a HELLO with a key of which no secret comes is a fault", () => {
    const hello = Buffer.from(known.HELLO);
    hello.fill(0, 80, 112);
    expect(reach("server, start").receive(hello).failed).toMatchObject({ code: "ERR_ZMTP_KEY_EXCHANGE" });
  });

  test("a client that was given another server's key does not open WELCOME, nor the server its HELLO", () => {
    const other = newPair();
    const misled = clientOf(box, SYSTEM_RANDOM, { curveServerKey: other.publicKey });
    expect(misled.suspicion).toBeUndefined();
    const { client, server } = shake(misled, serverOf(box));
    expect(server.failed).toMatchObject({
      kind: "protocol",
      code: "ERR_ZMTP_CRYPTOGRAPHIC",
      message: expect.stringContaining(encodeZ85(SERVER_PUBLIC)),
    });
    expect(client.done).toBeUndefined();
    expect(misled.suspicion).toContain(encodeZ85(other.publicKey));
    const welcome = only(serverOf(box).receive(only(clientOf(box).start())));
    expect(misled.receive(welcome).failed?.message).toContain(encodeZ85(other.publicKey));
    expect(misled.suspicion).toBeUndefined();
    const zero = clientOf(box, SYSTEM_RANDOM, { curveServerKey: Buffer.alloc(32) });
    expect(zero.start().failed).toMatchObject({ code: "ERR_ZMTP_KEY_EXCHANGE" });
  });

  test("a WELCOME with a key of which no secret comes is a fault", () => {
    const zero: CurveRandom = {
      ...ofServer(),
      keyPair: () => ({ ...keyPairOf(SERVER_TRANSIENT), publicKey: Buffer.alloc(32) }),
    };
    const client = clientOf(box);
    const welcome = only(serverOf(box, zero).receive(only(client.start())));
    expect(client.receive(welcome).failed).toMatchObject({ code: "ERR_ZMTP_KEY_EXCHANGE" });
  });

  test("the peer's ERROR is reported wherever it comes", () => {
    for (const state of Object.keys(states).filter((name) => !name.endsWith("over"))) {
      if (state === "server, asking") continue; // Nothing is received there.
      expect(reach(state).receive(bodyOf(ERROR)).failed).toMatchObject({ kind: "auth", status: 400 });
    }
  });
});

test.each([
  ["a client without a secret key", () => clientOf(LIBSODIUM, SYSTEM_RANDOM, { curveSecretKey: undefined })],
  [
    "a client without the server's key",
    () => clientOf(LIBSODIUM, SYSTEM_RANDOM, { curveServerKey: undefined }),
  ],
  [
    "a client with a short key",
    () => clientOf(LIBSODIUM, SYSTEM_RANDOM, { curveSecretKey: Buffer.alloc(31) }),
  ],
  ["a server without a secret key", () => serverOf(LIBSODIUM, SYSTEM_RANDOM, { curveSecretKey: undefined })],
])("options that cannot work are the caller's mistake, and the key stays secret: %s", (_, make) => {
  expect(make).toThrow(InvalidArgumentError);
});
