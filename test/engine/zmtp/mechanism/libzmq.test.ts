/**
 * The mechanisms against libzmq itself (the one inside the npm package zeromq), over a socket that only moves
 * bytes: what two ends by one author agree on proves nothing.
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { encodeZ85 } from "../../../../src/core/z85.js";
import type { CurveClient } from "../../../../src/engine/zmtp/mechanism/curve-client.js";
import type { CurveServer } from "../../../../src/engine/zmtp/mechanism/curve-server.js";
import type {
  Fault,
  Mechanism,
  MechanismOptions,
  Metadata,
} from "../../../../src/engine/zmtp/mechanism/mechanism.js";
import { createMechanism } from "../../../support/mechanism.js";
import { newPair, openSealed, optionsOf, properties } from "./support.js";

type Native = typeof import("zeromq");

function load(): Native | undefined {
  try {
    return createRequire(import.meta.url)("zeromq") as Native;
  } catch {
    return undefined; // An optional dependency.
  }
}

const zmq = load();
const curve = zmq?.capability.curve === true;

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

/** Just enough of ZMTP to carry a mechanism: greeting, short and long frames. */
class Wire {
  readonly #socket: Socket;
  #bytes: Buffer = Buffer.alloc(0);

  #ended = false;
  #wake = (): void => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    socket.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
    open.push({ close: () => socket.destroy() });
  }

  /** `undefined` when the peer closed first. */
  async #take(length: number): Promise<Buffer | undefined> {
    while (this.#bytes.length < length) {
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = Buffer.from(this.#bytes.subarray(0, length));
    this.#bytes = this.#bytes.subarray(length);
    return taken;
  }

  async greet(mechanism: Mechanism): Promise<void> {
    const greeting = Buffer.alloc(64);
    greeting.write("ff00000000000000007f0301", "hex");
    greeting.write(mechanism.name, 12);
    greeting.writeUInt8(mechanism.asServer ? 1 : 0, 32);
    this.#socket.write(greeting);
    await this.#take(64);
  }

  send(flags: number, body: Uint8Array): void {
    const head = body.length < 256 ? Buffer.from([flags, body.length]) : Buffer.alloc(9);
    if (head.length === 9) {
      head.writeUInt8(flags | 2);
      head.writeBigUInt64BE(BigInt(body.length), 1);
    }
    this.#socket.write(Buffer.concat([head, body]));
  }

  async receive(): Promise<{ flags: number; body: Buffer } | undefined> {
    const flags = (await this.#take(1))?.[0];
    if (flags === undefined) return undefined;
    const size = await this.#take(flags & 2 ? 8 : 1);
    if (size === undefined) return undefined;
    const body = await this.#take(flags & 2 ? Number(size.readBigUInt64BE()) : size.readUInt8());
    return body && { flags: flags & ~2, body };
  }

  /** Runs the handshake to its end. */
  async shake(mechanism: Mechanism, allow = true): Promise<Metadata | Fault> {
    await this.greet(mechanism);
    let step = mechanism.start();
    for (;;) {
      for (const body of step.send ?? []) this.send(4, body);
      if (step.done) return step.done;
      if (step.failed) return step.failed;
      if (step.ask) step = mechanism.authenticated(allow);
      else {
        const frame = await this.receive();
        if (frame === undefined) return { kind: "other", code: "ERR_HANDSHAKE", message: "closed" };
        step = mechanism.receive(frame.body);
      }
    }
  }
}

/** A libzmq DEALER bound to a port, and a wire to it. */
async function toBound(options: Record<string, unknown>) {
  const { Dealer } = zmq as Native;
  const dealer = new Dealer({ linger: 0, receiveTimeout: 5_000, ...options });
  open.push(dealer);
  await dealer.bind("tcp://127.0.0.1:*");
  const socket = connect(Number(dealer.lastEndpoint?.split(":").at(-1)), "127.0.0.1");
  return { dealer, wire: new Wire(socket) };
}

/** A libzmq DEALER that connects, and the wire it came by. */
async function fromConnecting(options: Record<string, unknown>) {
  const { Dealer } = zmq as Native;
  const listener = createServer();
  listener.listen(0, "127.0.0.1");
  open.push(listener);
  await once(listener, "listening");
  const accepted = once(listener, "connection");
  const dealer = new Dealer({ linger: 0, receiveTimeout: 5_000, ...options });
  open.push(dealer);
  dealer.connect(`tcp://127.0.0.1:${(listener.address() as AddressInfo).port}`);
  const [socket] = (await accepted) as [Socket];
  return { dealer, wire: new Wire(socket) };
}

const mine = (changes: Partial<MechanismOptions> = {}) =>
  optionsOf({ properties: properties("DEALER"), ...changes });

const DEALER = new Map([
  ["socket-type", Buffer.from("DEALER")],
  ["identity", Buffer.alloc(0)],
]);

describe.skipIf(zmq === undefined && "the npm package zeromq does not load here")("NULL", () => {
  test("to a libzmq that listens, and from one that connects", async () => {
    for (const make of [toBound, fromConnecting]) {
      const { dealer, wire } = await make({});
      expect(await wire.shake(createMechanism("NULL", false, mine()))).toEqual(DEALER);
      wire.send(0, Buffer.from("hello"));
      expect(await dealer.receive()).toEqual([Buffer.from("hello")]);
      await dealer.send("back");
      expect(await wire.receive()).toEqual({ flags: 0, body: Buffer.from("back") });
    }
  });
});

describe.skipIf(zmq === undefined && "the npm package zeromq does not load here")("PLAIN", () => {
  const credentials = { plainUsername: "admin", plainPassword: "secret" };

  test("a libzmq client gets in, and talks", async () => {
    const { dealer, wire } = await fromConnecting(credentials);
    const server = createMechanism("PLAIN", true, mine({ asks: true }));
    expect(await wire.shake(server)).toEqual(DEALER);
    wire.send(0, Buffer.from("hello"));
    expect(await dealer.receive()).toEqual([Buffer.from("hello")]);
  });

  test("a libzmq client that is refused hears of it", async () => {
    const { dealer, wire } = await fromConnecting(credentials);
    const failure = new Promise((resolve) => {
      for (const type of ["handshake:error:auth", "handshake:error:protocol"] as const) {
        dealer.events.on(type, resolve);
      }
    });
    const server = createMechanism("PLAIN", true, mine({ asks: true }));
    expect(await wire.shake(server, false)).toMatchObject({ kind: "refused", status: 400 });
    await failure;
  });

  /** A ZAP handler (27/ZAP) that knows one password; libzmq asks it for every server of the context. */
  async function zapHandler(context: InstanceType<Native["Context"]>): Promise<void> {
    const { Reply } = zmq as Native;
    const handler = new Reply({ linger: 0, context });
    open.push(handler);
    await handler.bind("inproc://zeromq.zap.01");
    void (async () => {
      for await (const [, id, , , , , user, password] of handler) {
        const right = user?.toString() === "admin" && password?.toString() === "secret";
        await handler.send(["1.0", id ?? "", right ? "200" : "400", "", "", ""]);
      }
    })().catch(() => {}); // It ends with the socket.
  }

  test.each([
    ["secret", { done: true }],
    ["wrong", { kind: "auth", code: "ERR_AUTHENTICATION", status: 400 }],
  ])("a libzmq server authenticates us, password %s", async (plainPassword, expected) => {
    const context = new (zmq as Native).Context();
    await zapHandler(context);
    const { dealer, wire } = await toBound({ plainServer: true, zapDomain: "test", context });
    const outcome = await wire.shake(createMechanism("PLAIN", false, mine({ plainPassword })));
    if ("done" in expected) {
      expect(outcome).toEqual(DEALER);
      wire.send(0, Buffer.from("hello"));
      expect(await dealer.receive()).toEqual([Buffer.from("hello")]);
    } else expect(outcome).toMatchObject(expected);
  });

  test("a libzmq server without a ZAP handler lets us in no further", async () => {
    const { wire } = await toBound({ plainServer: true });
    const outcome = await wire.shake(createMechanism("PLAIN", false, mine()));
    expect(outcome).toMatchObject({ kind: expect.stringMatching(/^(auth|other)$/) });
  });
});

describe.skipIf(!curve && "no libzmq with CURVE here")("CURVE", () => {
  const server = newPair();
  const client = newPair();
  const z85 = (key: Buffer) => encodeZ85(key);

  async function talk(dealer: InstanceType<Native["Dealer"]>, wire: Wire, cipher: CurveClient["cipher"]) {
    const big = Buffer.alloc(70_000, "big");
    for (const parts of [["hello"], ["two", "frames"], [""], [big]]) {
      for (const [index, part] of parts.entries()) {
        const body = Buffer.from(part);
        const sealed = Buffer.alloc(cipher?.sealedLength(body.length) ?? 0);
        cipher?.seal(index + 1 < parts.length ? 1 : 0, body, 0, body.length, sealed, 0);
        wire.send(0, sealed);
      }
      const expected = parts.map((part) => Buffer.from(part));
      expect(await dealer.receive()).toEqual(expected);
      await dealer.send(expected);
      for (const [index, body] of expected.entries()) {
        const frame = await wire.receive();
        expect(openSealed(cipher, frame?.body as Buffer)).toEqual({
          flags: index + 1 < parts.length ? 1 : 0,
          body,
        });
      }
    }
    // A command inside: libzmq answers a PING with a PONG of the same context.
    const ping = Buffer.from("\u0004PING\u0000\u001ezz", "latin1");
    const sealed = Buffer.alloc(cipher?.sealedLength(ping.length) ?? 0);
    cipher?.seal(4, ping, 0, ping.length, sealed, 0);
    wire.send(0, sealed);
    const frame = await wire.receive();
    expect(openSealed(cipher, frame?.body as Buffer)).toEqual({
      flags: 4,
      body: Buffer.from("\u0004PONGzz"),
    });
  }

  test("as the client of a libzmq server", async () => {
    const { dealer, wire } = await toBound({ curveServer: true, curveSecretKey: z85(server.secretKey) });
    const keys = { curveSecretKey: client.secretKey, curveServerKey: server.publicKey };
    const mechanism = createMechanism("CURVE", false, mine(keys)) as CurveClient;
    expect(await wire.shake(mechanism)).toEqual(DEALER);
    await talk(dealer, wire, mechanism.cipher);
  });

  test("as the server of a libzmq client", async () => {
    const { dealer, wire } = await fromConnecting({
      curvePublicKey: z85(client.publicKey),
      curveSecretKey: z85(client.secretKey),
      curveServerKey: z85(server.publicKey),
    });
    const options = mine({ curveSecretKey: server.secretKey, asks: true });
    const mechanism = createMechanism("CURVE", true, options) as CurveServer;
    expect(await wire.shake(mechanism)).toEqual(DEALER);
    await talk(dealer, wire, mechanism.cipher);
  });

  test("a libzmq client that is refused reports status 400", async () => {
    const { dealer, wire } = await fromConnecting({
      curvePublicKey: z85(client.publicKey),
      curveSecretKey: z85(client.secretKey),
      curveServerKey: z85(server.publicKey),
    });
    const failure = new Promise((resolve) => dealer.events.on("handshake:error:auth", resolve));
    const mechanism = createMechanism("CURVE", true, mine({ curveSecretKey: server.secretKey, asks: true }));
    expect(await wire.shake(mechanism, false)).toMatchObject({ kind: "refused", status: 400 });
    expect(await failure).toMatchObject({ error: { status: 400 } });
  });

  test("a libzmq server with another key closes, and lets us in no further", async () => {
    const { wire } = await toBound({ curveServer: true, curveSecretKey: z85(server.secretKey) });
    const keys = { curveSecretKey: client.secretKey, curveServerKey: newPair().publicKey };
    expect(await wire.shake(createMechanism("CURVE", false, mine(keys)))).toMatchObject({
      message: "closed",
    });
  });
});
