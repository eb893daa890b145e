/** ZMTP over a stream that keeps the borders of frames itself: tcp with a framing that has nothing to do with ZMTP's. */
import type { Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { loadZmtpEngine, ZmtpContext } from "../../../src/engine/zmtp/engine.js";
import type { Fault } from "../../../src/engine/zmtp/mechanism/mechanism.js";
import type { Framing, OnFrame } from "../../../src/engine/zmtp/transport/framing.js";
import { tcp } from "../../../src/engine/zmtp/transport/tcp.js";
import type { Stream, Transport } from "../../../src/engine/zmtp/transport/transport.js";
import { MACHINE } from "../../../src/engine/zmtp/transport/transports.js";
import { Context, curveKeyPair, Dealer, Router, type Socket as ShoalSocket } from "../../../src/index.js";

/** "F", flags, length 4, body inverted; a "?" is a ping, answered by "!". */
class TestFraming implements Framing {
  onReply: ((bytes: Uint8Array) => void) | undefined;
  pings = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(readonly mechanism: string) {}

  get unfinished(): number {
    return this.#rest.length;
  }

  headerLength(): number {
    return 6;
  }

  writeHeader(target: Buffer, position: number, flags: number, length: number): number {
    target.write("F", position, "latin1");
    target[position + 1] = flags;
    target.writeUInt32BE(length, position + 2);
    return position + 6;
  }

  finish(target: Buffer, from: number, to: number): void {
    for (let i = from; i < to; i++) target[i] = ~(target[i] as number);
  }

  read(bytes: Uint8Array, length: number, limit: number, onFrame: OnFrame): Fault | undefined {
    let rest = Buffer.concat([this.#rest, bytes.subarray(0, length)]);
    while (rest.length > 0) {
      const kind = String.fromCharCode(rest[0] as number);
      if (kind === "?" || kind === "!") {
        this.pings += 1;
        if (kind === "?") this.onReply?.(Buffer.from("!"));
        rest = rest.subarray(1);
        continue;
      }
      if (kind !== "F") return { kind: "protocol", code: "ERR_PROTOCOL", message: `not a frame: ${kind}` };
      if (rest.length < 6) break;
      const size = rest.readUInt32BE(2);
      if (size > limit) return { kind: "protocol", code: "ERR_PROTOCOL", message: "too long" };
      if (rest.length < 6 + size) break;
      const body = rest.subarray(6, 6 + size);
      this.finish(body, 0, size);
      const flags = rest[1] as number;
      rest = rest.subarray(6 + size);
      if (!onFrame(flags, body)) break;
    }
    this.#rest = Buffer.from(rest);
    return undefined;
  }

  ping(): Uint8Array {
    return Buffer.from("?");
  }
}

const streams: (Stream & { framing: TestFraming })[] = [];

function framedTcp(mechanism: string): Transport {
  const framed = (stream: Stream): Stream => {
    const made = Object.assign(stream, { framing: new TestFraming(mechanism) });
    streams.push(made);
    return made;
  };
  return {
    ...tcp,
    listen: (endpoint, options, acceptor) =>
      tcp.listen(endpoint, options, { ...acceptor, accepted: (stream) => acceptor.accepted(framed(stream)) }),
    dial: (endpoint, options, done) =>
      tcp.dial(endpoint, options, (result) => done(result instanceof Error ? result : framed(result))),
  };
}

function contextOf(mechanism: string): Context {
  const zmtp = loadZmtpEngine();
  const platform = { ...MACHINE, transports: { get: () => framedTcp(mechanism) } };
  return new Context({
    engine: { ...zmtp, createContext: (options) => new ZmtpContext(options, false, platform) },
  });
}

const open: ShoalSocket[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((socket) => socket.close({ linger: 0 })));
  streams.length = 0;
});

const server = curveKeyPair();
const client = curveKeyPair();
const SECURITY = {
  NULL: [{}, {}],
  CURVE: [
    { curveServer: true, curveSecretKey: server.secretKey },
    { curveServerKey: server.publicKey, curvePublicKey: client.publicKey, curveSecretKey: client.secretKey },
  ],
} as const;

describe.each(["NULL", "CURVE"] as const)("with %s, framed", (mechanism) => {
  it("messages pass both ways, whole and in order", async () => {
    const context = contextOf(mechanism);
    const router = new Router({ context, ...SECURITY[mechanism][0] });
    const dealer = new Dealer({ context, sendHighWaterMark: 0, ...SECURITY[mechanism][1] });
    open.push(router, dealer);
    await router.bind("tcp://127.0.0.1:*");
    dealer.connect(router.lastEndpoint as string);
    const large = Buffer.alloc(1_500_000, 3);
    // Before the handshake's end, so that the first messages come with its last bytes.
    for (let i = 0; i < 300; i++) await dealer.send([String(i), "", i % 50 === 0 ? large : "x".repeat(i)]);
    for (let i = 0; i < 300; i++) {
      const [id, number, empty, body] = (await router.receive()) as [Buffer, Buffer, Buffer, Buffer];
      expect([String(number), empty.length, body.length]).toEqual([
        String(i),
        0,
        i % 50 === 0 ? large.length : i,
      ]);
      if (i === 299) await router.send([id, "back"]);
    }
    expect(String((await dealer.receive())[0])).toBe("back");
  });

  it("its own ping keeps a silent peer, and no PING of ZMTP is sent", async () => {
    const context = contextOf(mechanism);
    const router = new Router({ context, heartbeatInterval: 20, ...SECURITY[mechanism][0] });
    const dealer = new Dealer({ context, heartbeatInterval: 0, ...SECURITY[mechanism][1] });
    open.push(router, dealer);
    await router.bind("tcp://127.0.0.1:*");
    dealer.connect(router.lastEndpoint as string);
    await dealer.ready();
    const left = new Promise((resolve) => router.events.on("peer:leave", resolve));
    const pinged = (async () => {
      while (streams.some(({ framing }) => framing.pings < 4)) await new Promise(setImmediate);
      return "pinged";
    })();
    expect(await Promise.race([left, pinged])).toBe("pinged");
  });

  it("bytes that are no frame end the connection, with the reason", async () => {
    const context = contextOf(mechanism);
    const router = new Router({ context, ...SECURITY[mechanism][0] });
    const dealer = new Dealer({ context, ...SECURITY[mechanism][1] });
    open.push(router, dealer);
    await router.bind("tcp://127.0.0.1:*");
    dealer.connect(router.lastEndpoint as string);
    await dealer.ready();
    const ended = new Promise<{ readonly reason: string; readonly error?: Error }>((resolve) =>
      router.events.on("disconnect", resolve),
    );
    const dialled = streams.find(({ remote }) => remote === router.lastEndpoint) as Stream;
    (dialled.socket as Socket).write("nonsense");
    const { reason, error } = await ended;
    expect(reason).toBe("protocol");
    expect(error?.message).toContain("not a frame: n");
  });
});

it("another mechanism than the one agreed on ends the handshake", async () => {
  const context = contextOf("PLAIN");
  const router = new Router({ context });
  open.push(router);
  const failed = new Promise<{ readonly error: { readonly code: string; message: string } }>((resolve) =>
    router.events.on("handshake:error:protocol", resolve),
  );
  const dealer = new Dealer({ context });
  open.push(dealer);
  await router.bind("tcp://127.0.0.1:*");
  dealer.connect(router.lastEndpoint as string);
  const { error } = await failed;
  expect(error.code).toBe("ERR_ZMTP_MECHANISM_MISMATCH");
  expect(error.message).toContain("PLAIN");
});
