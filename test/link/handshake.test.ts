/** How links begin: hellos, proofs, keys; and the records of encrypted links. */
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  Handshake,
  type HandshakeSettings,
  type LinkRole,
  RecordOpener,
  RecordSealer,
} from "../../src/link/security.js";

const [KEY, OTHER] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];

function end(role: LinkRole, keys: readonly Buffer[] = [], encrypt = false): HandshakeSettings {
  return { role, window: 65_536, maxChannels: 100, keys, encrypt };
}

function made(...settings: Parameters<typeof end>): Handshake {
  return new Handshake(end(...settings));
}

/** Lets two ends talk, byte by byte. What each sends is noted; a tunnel may alter the byte of `a` at a place. */
function talk(a: Handshake, b: Handshake, altered = -1): { fromA: Buffer; fromB: Buffer } {
  const sent = { a: [a.hello], b: [b.hello] };
  const at = { a: 0, b: 0 };
  for (let moved = true; moved; ) {
    moved = false;
    for (const [from, to, back] of [
      ["a", b, "b"],
      ["b", a, "a"],
    ] as const) {
      const bytes = Buffer.concat(sent[from]);
      if (at[from] === bytes.length || to.failure !== undefined) continue;
      const byte = Buffer.from(bytes.subarray(at[from], at[from] + 1));
      if (from === "a" && at[from] === altered) byte[0] = (byte[0] as number) ^ (1 << (altered % 8));
      at[from] += 1;
      to.receive(byte, (answer) => sent[back].push(answer));
      moved = true;
    }
  }
  return { fromA: Buffer.concat(sent.a), fromB: Buffer.concat(sent.b) };
}

describe("a handshake", () => {
  it("decides by the hellos who dialled, where neither end says it, or one", () => {
    for (let i = 0; i < 20; i++) {
      for (const roles of [
        ["either", "either"],
        ["either", "initiator"],
        ["responder", "either"],
      ] as const) {
        const [a, b] = [made(roles[0]), made(roles[1])];
        talk(a, b);
        expect(a.agreement?.isInitiator).toBe(b.agreement?.isInitiator === false);
        if (roles[1] === "initiator" || roles[0] === "responder")
          expect(a.agreement?.isInitiator).toBe(false);
      }
    }
  });

  it("takes an old password as well as the new one", () => {
    const [a, b] = [made("initiator", [OTHER], true), made("responder", [KEY, OTHER])];
    talk(a, b);
    expect([a.failure, b.failure]).toEqual([undefined, undefined]);
    expect(a.agreement?.seals?.out).toEqual(b.agreement?.seals?.in);
  });

  it("is refused with another password: the responder shows no proof", () => {
    const [a, b] = [made("initiator", [KEY]), made("responder", [OTHER])];
    const { fromB } = talk(a, b);
    expect([a.failure, b.failure]).toEqual(["refused", "password"]);
    expect(fromB.subarray(56)).toEqual(Buffer.alloc(33));
  });

  it.each<[string, HandshakeSettings, HandshakeSettings, (string | undefined)[]]>([
    [
      "one end has a password",
      end("initiator"),
      end("responder", [KEY]),
      ["password-missing", "password-unexpected"],
    ],
    ["both dial", end("initiator"), end("initiator"), ["role", "role"]],
    ["both accept", end("responder", [KEY]), end("responder", [KEY]), ["role", "role"]],
  ])("fails when %s", (_, x, y, failures) => {
    const [a, b] = [new Handshake(x), new Handshake(y)];
    talk(a, b);
    expect([a.failure, b.failure]).toEqual(failures);
  });

  it("fails at its own hello, and at its own proof", () => {
    const a = made("either", [KEY]);
    a.receive(a.hello, () => undefined);
    expect(a.failure).toBe("reflected");
    // A tunnel that sends back the proof of the initiator.
    const [initiator, responder] = [made("initiator", [KEY]), made("responder", [KEY])];
    const sent: Buffer[] = [];
    initiator.receive(responder.hello, (bytes) => sent.push(bytes));
    initiator.receive(sent[0] as Buffer, () => undefined);
    expect(initiator.failure).toBe("password");
  });

  it("fails for a tunnel that takes part in it without the password", () => {
    const [initiator, responder] = [made("initiator", [KEY]), made("responder", [KEY])];
    const [toInitiator, toResponder] = [made("responder", [OTHER]), made("initiator", [OTHER])];
    const proof: Buffer[] = [];
    initiator.receive(toInitiator.hello, (bytes) => proof.push(bytes));
    responder.receive(toResponder.hello, () => undefined);
    responder.receive(proof[0] as Buffer, () => undefined);
    expect(responder.failure).toBe("password");
  });

  it("agrees at neither end when a tunnel alters a byte of the hello or the proof", () => {
    for (let at = 0; at < 56 + 33; at++) {
      const [a, b] = [made("initiator", [KEY], true), made("responder", [KEY], true)];
      talk(a, b, at);
      expect([a.agreement, b.agreement], `byte ${at}`).toEqual([undefined, undefined]);
    }
  });

  it.each<[string, (hello: Buffer) => void, string]>([
    ["another magic", (hello) => hello.write("HTTP/1.1"), "hello"],
    ["version 0", (hello) => hello.writeUInt8(0, 8), "version"],
    ["an unknown role", (hello) => hello.writeUInt8(3, 9), "hello"],
    ["a window of 1,023", (hello) => hello.writeUInt32BE(1_023, 12), "hello"],
    ["a window of 2 GiB", (hello) => hello.writeUInt32BE(0x7fff_ffff, 12), "hello"],
    ["an extension that is too long", (hello) => hello.writeUInt16BE(1_025, 22), "hello"],
    ["a key that gives no secret", (hello) => hello.fill(0, 24, 56), "hello"],
  ])("fails at a hello with %s", (_, change, failure) => {
    const hello = Buffer.from(made("responder", [KEY]).hello);
    change(hello);
    const a = made("initiator", [KEY]);
    a.receive(hello, () => undefined);
    expect(a.failure).toBe(failure);
  });

  it("takes the hello of a later version, with what follows it, in any pieces", () => {
    const later = Buffer.concat([made("responder").hello, Buffer.from("more")]);
    later.writeUInt8(2, 8);
    later.writeUInt16BE(4, 22);
    for (let at = 0; at <= later.length; at++) {
      const a = made("initiator");
      a.receive(later.subarray(0, at), () => undefined);
      const rest = a.receive(Buffer.concat([later.subarray(at), Buffer.from("frames")]), () => undefined);
      expect([a.agreement?.isInitiator, rest.toString()], `byte ${at}`).toEqual([true, "frames"]);
    }
  });
});

describe("records", () => {
  const make = (): [RecordSealer, RecordOpener] => [new RecordSealer(KEY), new RecordOpener(KEY)];
  const opened = (opener: RecordOpener, bytes: Buffer): string | Buffer => {
    const pieces: Buffer[] = [];
    return opener.open(bytes, (piece) => pieces.push(piece)) ?? Buffer.concat(pieces);
  };

  it("open to what was sealed, whatever the pieces and chunks", () => {
    const [sealer, opener] = make();
    const pieces = [1, 65_535, 65_536, 65_537, 200_000].map((size) => randomBytes(size));
    const sealed = Buffer.concat(sealer.seal(pieces));
    const got: Buffer[] = [];
    for (let at = 0; at < sealed.length; at += 1_013)
      expect(opener.open(sealed.subarray(at, at + 1_013), (piece) => got.push(piece))).toBeUndefined();
    expect(Buffer.concat(got).equals(Buffer.concat(pieces))).toBe(true);
  });

  it("do not open when a byte is changed, one is left out, or one comes again", () => {
    for (let at = 0; at < 30; at++) {
      const [sealer, opener] = make();
      const record = Buffer.concat(sealer.seal([Buffer.from("0123456789")]));
      record[at] = (record[at] as number) ^ 1;
      const result = opened(opener, record);
      // A length that is smaller or larger: the record is cut elsewhere, or waits for more.
      expect(typeof result === "string" || result.length === 0, `byte ${at}`).toBe(true);
    }
    const [sealer, opener] = make();
    const [first, second] = ["a", "b"].map((text) => Buffer.concat(sealer.seal([Buffer.from(text)])));
    expect(opened(opener, second as Buffer)).toBe("a record does not open");
    const [, again] = make();
    expect(opened(again, first as Buffer)).toEqual(Buffer.from("a"));
    expect(opened(again, first as Buffer)).toBe("a record does not open");
  });

  it("are handed on when their tag is found right, and not before", () => {
    const [sealer, opener] = make();
    const body = randomBytes(5_000);
    const record = Buffer.concat(sealer.seal([body]));
    const got: Buffer[] = [];
    for (const byte of record.subarray(0, -1)) {
      expect(opener.open(Buffer.from([byte]), (piece) => got.push(piece))).toBeUndefined();
      expect(got.length).toBe(0);
    }
    expect(opener.open(record.subarray(-1), (piece) => got.push(piece))).toBeUndefined();
    expect(Buffer.concat(got).equals(body)).toBe(true);
    // What came byte by byte is no Buffer for each of them.
    expect(got.length).toBeLessThan(100);
  });

  it("of no bytes, or more than fit, are refused before memory is taken", () => {
    for (const length of [0, 65_537, 0xffff_ffff]) {
      const head = Buffer.alloc(4);
      head.writeUInt32BE(length);
      expect(opened(make()[1], head)).toMatch(/^a record of/);
    }
  });
});
