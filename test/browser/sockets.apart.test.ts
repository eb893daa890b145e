/** The sockets of the build for browsers, over the standard WebSocket, against those of Node.js. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { acceptResponse } from "../../src/engine/zmtp/ws/upgrade.js";
import * as node from "../../src/index.js";
import { failure, nextEvent, thrown, until, within } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { LONG } from "../support/long.js";
import { Relay } from "../support/relay.js";
import { loadWeb, offering, restoreWebSocket, WEB } from "./support/web.js";

const web = await loadWeb();
const inproc = (await import(join(WEB, "inproc.js"))) as typeof import("../../src/browser/inproc/index.js");
const own = closeAfterEach();

afterEach(restoreWebSocket);

/** The close event of the WebSocket that is made next. */
function nextClose(): Promise<unknown> {
  const Standard = globalThis.WebSocket;
  return new Promise((resolve) => {
    globalThis.WebSocket = class {
      constructor(url: string, protocols: string[]) {
        const socket = new Standard(url, protocols);
        socket.addEventListener("close", resolve);
        globalThis.WebSocket = Standard;
        // biome-ignore lint/correctness/noConstructorReturn: it stands for the standard one
        return socket;
      }
    } as never;
  });
}

const PROTOCOLS = [
  ["a piece of ZMTP's stream", /^ZMTP3\.1-/],
  ["a frame, without a mechanism", /^ZWS2\.0$/],
] as const;
/** By default the second has its turn, since the contract of sockets of a page has the first one; the long form has all. */
const CHOSEN = PROTOCOLS.slice(LONG ? 0 : 1, LONG ? undefined : 2);

describe.each(CHOSEN)("where a message of WebSocket is %s", (_, pattern) => {
  it("batches, and copies of frames that share memory", async () => {
    offering(pattern);
    const push = own(new node.Push());
    const pull = own(new web.Pull());
    pull.connect(await push.bind("ws://127.0.0.1:*"));
    await push.ready();
    const sent = Array.from({ length: 300 }, (_, i) => `message ${i}`);
    for (const text of sent) await push.send(text);
    const got: string[] = [];
    for await (const batch of pull.batches({ max: 100 })) {
      expect(batch.length).toBeLessThanOrEqual(100);
      for (const [frame] of batch) got.push(String(frame));
      batch[Symbol.dispose]();
      expect(thrown(() => batch.messages)).toMatchObject({ code: "EBADF" });
      if (got.length === sent.length) break;
    }
    expect(got).toEqual(sent);

    expect(thrown(() => pull.batches({ max: 0 }))).toMatchObject({ code: "EINVAL" });
  });

  it("loses nothing, doubles nothing and keeps the order", async () => {
    offering(pattern);
    const pull = own(new node.Pull());
    const push = own(new web.Push());
    push.connect(await pull.bind("ws://127.0.0.1:*"));
    const back = own(new node.Push());
    const receiver = own(new web.Pull());
    receiver.connect(await back.bind("ws://127.0.0.1:*"));
    const count = LONG ? 20_000 : 2_500; // Several high-water marks.
    const sizes = [0, 1, 100, 255, 256, 3_000];
    const bodies = sizes.map((size) => "x".repeat(size));
    const send = async (socket: { send(message: string[]): Promise<void> }) => {
      for (let i = 0; i < count; i++) await socket.send([String(i), bodies[i % sizes.length] as string]);
    };
    const receive = async (socket: { receive(options: object): Promise<readonly Uint8Array[]> }) => {
      for (let i = 0; i < count; i++) {
        const [number, body] = await socket.receive({ timeout: 10_000 });
        if (String(number) !== String(i) || body?.length !== sizes[i % sizes.length])
          throw new Error(`${number} came in the place of ${i}, with ${body?.length} bytes`);
      }
    };
    await Promise.all([send(push), receive(pull), send(back), receive(receiver)]);
    const large = Buffer.alloc(5_000_000, "large");
    await push.send(["0", large]);
    expect((await pull.receive({ timeout: 10_000 }))[1]?.equals(large)).toBe(true);
    await back.send(["0", large]);
    const [, body] = await receiver.receive({ timeout: 10_000 });
    expect(Buffer.compare(body as Buffer, large)).toBe(0);
  });
});

describe("in a page", () => {
  it("inproc is refused before it is enabled, with what adds it", async () => {
    const pull = own(new web.Pull());
    expect(await failure(pull.bind("inproc://page"))).toMatchObject({
      code: "EPROTONOSUPPORT",
      message: expect.stringContaining("shoal/browser/inproc"),
    });
    inproc.enableInproc();
    inproc.enableInproc();
    // A socket that was there before has it, too.
    await pull.bind("inproc://page");
    const taken = own(new web.Pull());
    expect((await failure(taken.bind("inproc://page"))).code).toBe("EADDRINUSE");
  });

  it("frames have the methods of Buffers", async () => {
    const [pull, push] = [own(new web.Pull()), own(new web.Push())];
    await pull.bind("inproc://frames");
    push.connect("inproc://frames");
    await push.send("grün");
    const [frame] = (await pull.receive({ timeout: 10_000 })) as [Buffer];
    expect(frame).toBeInstanceOf(Uint8Array);
    expect([frame.toString(), frame.toString("hex"), frame.toString("base64")]).toEqual([
      "grün",
      "6772c3bc6e",
      "Z3LDvG4=",
    ]);
    expect(frame.subarray(0, 2).toString()).toBe("gr");
    expect(JSON.parse(JSON.stringify(frame))).toEqual({ type: "Buffer", data: [...Buffer.from("grün")] });
  });

  it("what a page has not is refused by its name", async () => {
    const pull = own(new web.Pull());
    expect(await failure(pull.bind("ws://127.0.0.1:8080"))).toMatchObject({
      code: "NOT_SUPPORTED",
      message: expect.stringMatching(/ws:\/\/127\.0\.0\.1:8080.*cannot listen/),
    });
    for (const [endpoint, reason] of [
      ["tcp://127.0.0.1:1", /a page reaches peers that bind ws/],
      ["tls://127.0.0.1:1", /a page reaches peers that bind ws/],
      ["ipc:///tmp/x", /a page reaches peers that bind ws/],
      ["udp://127.0.0.1:1", /a page reaches peers that bind ws/],
    ] as const)
      expect(thrown(() => pull.connect(endpoint))).toMatchObject({
        code: "EPROTONOSUPPORT",
        message: expect.stringMatching(reason),
      });
    const bound = pull.bind({ server: createServer(), path: "/page" });
    expect(await failure(bound)).toMatchObject({ code: "NOT_SUPPORTED" });
    for (const endpoint of [
      "ws://127.0.0.1",
      "ws://127.0.0.1:0",
      "ws://*:1",
      "ws://a*b:1",
      "ws://[]:1",
      "ws://eth0:0;host:1",
      "wss://eth0;host:1",
      "wss://",
      `inproc://${"n".repeat(256)}`,
    ])
      expect(thrown(() => pull.connect(endpoint)).code).toBe("EINVAL");
    for (const options of [{ tlsCa: "certificate" }, { tcpKeepalive: 1 }, { backlog: 1 }])
      expect(thrown(() => new web.Pull(options)).code).toBe("NOT_SUPPORTED");
    expect(thrown(() => new web.Pull({ lingr: 1 } as object)).code).toBe("EINVAL");
    const keys = node.curveKeyPair();
    const curve = own(
      new web.Pull({
        curveServerKey: keys.publicKey,
        curvePublicKey: keys.publicKey,
        curveSecretKey: keys.secretKey,
      }),
    );
    expect(thrown(() => curve.connect("ws://127.0.0.1:1"))).toMatchObject({
      code: "NOT_SUPPORTED",
      message: expect.stringContaining("shoal/browser/curve"),
    });
    expect(thrown(() => new web.Context({ engine: "libzmq" })).code).toBe("EINVAL");
  });
});

describe("a connection", () => {
  it("whose peer has hung up behind what the page has not received gets nothing more", async () => {
    const first = own(new node.Router());
    const endpoint = await first.bind("ws://127.0.0.1:*");
    const dealer = own(new web.Dealer({ routingId: "page", receiveHighWaterMark: 2, reconnectInterval: 10 }));
    const closed = nextClose();
    dealer.connect(endpoint);
    await dealer.ready({ timeout: 10_000 });
    await dealer.send("hello");
    await first.receive({ timeout: 10_000 });
    await first.send(["page", "one"]);
    await first.send(["page", "two"]);
    await until(() => dealer.stats().receiveQueued === 2, "a full queue");
    await first.send(["page", "three"]);
    await first.close();
    await closed;
    const before = dealer.stats().delivered;
    const sent = ["a", "b", "c"];
    for (const text of sent) await dealer.send(text);
    await new Promise((resolve) => setImmediate(resolve));
    expect(dealer.stats()).toMatchObject({ delivered: before, queued: 3 });
    const second = own(new node.Router());
    await second.bind(endpoint);
    for (const text of ["one", "two", "three"])
      expect(String(await dealer.receive({ timeout: 10_000 }))).toBe(text);
    for (const text of sent)
      expect((await second.receive({ timeout: 10_000 })).map(String)).toEqual(["page", text]);
    expect(dealer.stats()).toMatchObject({ delivered: before + 3, dropped: { disconnected: 0 } });
  });

  it("that falls silent ends by heartbeats; one that lives does not", async () => {
    const pull = own(new node.Pull());
    const relay = own(await Relay.to(await pull.bind("ws://127.0.0.1:*")));
    const push = own(new web.Push({ heartbeatInterval: 50, heartbeatTimeout: 100, reconnectInterval: -1 }));
    const events: string[] = [];
    push.events.on("disconnect", ({ reason }) => events.push(reason));
    push.connect(relay.endpoint.replace("tcp", "ws"));
    await push.send("there");
    await pull.receive({ timeout: 10_000 });
    // Three timeouts.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(events).toEqual([]);
    relay.blackHole(true);
    await until(() => events.length > 0, "the end of the connection");
    expect(events).toEqual(["heartbeat"]);
  });

  it("to a server that breaks the rules ends, with the reason", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    server.on("upgrade", (request, socket) => {
      socket.on("error", () => undefined);
      socket.write(acceptResponse(request.headers["sec-websocket-key"] as string, "ZMTP3.1-NULL"));
      socket.write(Buffer.from([0x81, 2, 0x68, 0x69])); // A text.
    });
    await once(server, "listening");
    const push = own(new web.Push({ reconnectInterval: -1 }));
    const fault = nextEvent(push as unknown as node.Socket, "handshake:error:protocol");
    push.connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect((await fault).error?.message).toMatch(/text message/);
    server.closeAllConnections();
    server.close();
  });
});

describe("a receiver that does not receive", () => {
  const body = Buffer.alloc(1_000, "b");

  it("in a page stops its sender, and loses nothing", async () => {
    const push = own(new node.Push({ sendHighWaterMark: 100, sendTimeout: 500 }));
    const pull = own(new web.Pull({ receiveHighWaterMark: 100 }));
    pull.connect(await push.bind("ws://127.0.0.1:*"));
    let sent = 0;
    for (;;) {
      try {
        await push.send([String(sent), body]);
      } catch (error) {
        expect((error as { code: string }).code).toBe("EAGAIN");
        break;
      }
      sent += 1;
      if (sent > 20_000) throw new Error("the sender is not stopped");
    }
    // The marks, what the page says it takes, and one write.
    expect(sent).toBeLessThan(3_000);
    for (let i = 0; i < sent; i++)
      expect(String((await pull.receive({ timeout: 10_000 }))[0])).toBe(String(i));
    await push.send(["more", body]);
    expect(String((await pull.receive({ timeout: 10_000 }))[0])).toBe("more");
  });

  it("of a server that cannot be stopped is disconnected before it holds too much", async () => {
    offering(/^ZWS2\.0$/);
    const push = own(new node.Push({ sendHighWaterMark: 0, sendHighWaterMarkBytes: 0 }));
    const pull = own(new web.Pull({ receiveHighWaterMark: 100, reconnectInterval: -1 }));
    const gone = nextEvent(pull as unknown as node.Socket, "disconnect");
    pull.connect(await push.bind("ws://127.0.0.1:*"));
    const large = Buffer.alloc(1_000_000, "l");
    await push.send(large);
    for (let i = 0; i < 100; i++) expect(push.trySend(large)).toBe(true);
    const { error } = await within(gone, "the end of the connection");
    expect(error?.message).toMatch(/wait for a program that does not receive/);
  });
});
