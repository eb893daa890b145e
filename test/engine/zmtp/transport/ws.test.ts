/** ZMQ over WebSocket: the program's own HTTP server, peers without a mechanism, and hostile ones. */
import { once } from "node:events";
import { createServer as createHttpServer, get } from "node:http";
import type { AddressInfo, Socket as NetSocket } from "node:net";
import { describe, expect, it } from "vitest";
import { MAX_HEADERS } from "../../../../src/engine/zmtp/ws/upgrade.js";
import { Context, type PeerCredentials, Pull, type PullOptions } from "../../../../src/index.js";
import { peerViews } from "../../../../src/sockets/internal.js";
import { CORE } from "../../../../src/sockets/socket.js";
import { nextEvent, until } from "../../../contract/support/wait.js";
import { World } from "../../../contract/support/world.js";
import { ready } from "../../../contract/support/zmtp-peer.js";
import { RawServer } from "../support/raw-server.js";
import { acceptOf, frame, KEY, masked, readyOf, request, WsPeer } from "../support/ws-peer.js";

const world = new World("zmtp", "ws");

async function peerOf(endpoint: string, ...changes: string[]): Promise<WsPeer> {
  const peer = await WsPeer.upgraded(endpoint, ...changes);
  world.after(() => peer.socket.destroy());
  return peer;
}

async function bound(options: PullOptions = {}) {
  const pull = world.pull(options);
  return { pull, endpoint: await world.bind(pull) };
}

/** A PULL, and a PUSH of bare bytes that has heard its READY. */
async function withPeer(options: PullOptions = {}) {
  const { pull, endpoint } = await bound(options);
  const peer = await peerOf(endpoint);
  peer.send(readyOf("PUSH"));
  await peer.receive();
  return { pull, endpoint, peer };
}

/** An HTTP server of the program's own. */
async function listening() {
  const server = createHttpServer((_, response) => response.end("a page"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  world.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { server, base: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function bare(endpoint: string, ...first: Uint8Array[]): Promise<WsPeer> {
  const peer = await peerOf(endpoint, "Sec-WebSocket-Protocol: ZWS2.0");
  peer.send(...first);
  return peer;
}

describe("a bound socket", () => {
  it("has its path, with and without a query, and its port alone", async () => {
    const pull = world.pull();
    const endpoint = await pull.bind("ws://127.0.0.1:*/a");
    expect(endpoint).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/a$/);
    for (const target of [endpoint, `${endpoint}?x=1`]) {
      const push = world.connect(world.push(), target);
      await push.send(target);
      expect(String(await pull.receive())).toBe(target);
    }
    const other = endpoint.replace(/a$/, "b");
    await expect(world.pull().bind(other)).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(() => world.pull().bindSync(other)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));
    await pull.unbind(endpoint);
    expect(world.pull().bindSync(other)).toBe(other);
  });

  it("refuses a path that nobody has, and the client hears why", async () => {
    const pull = world.pull();
    const endpoint = await pull.bind("ws://127.0.0.1:*/a");
    const refused = nextEvent(pull, "handshake:error:protocol");
    const push = world.push();
    const failed = nextEvent(push, "handshake:error:other");
    const retry = nextEvent(push, "connect:retry");
    push.connect(endpoint.replace(/a$/, "b"));
    expect((await refused).error.message).toContain("status 404");
    expect((await failed).error).toMatchObject({
      code: "ERR_HANDSHAKE",
      message: expect.stringContaining("404 Not Found"),
    });
    expect((await retry).error?.message).toContain("404 Not Found");
  });
});

describe("an HTTP server of the program's own", () => {
  it("gives its upgrades to sockets, and keeps everything else", async () => {
    const { server, base } = await listening();
    const a = world.reply();
    const b = world.pull();
    expect(await a.bind({ server, path: "/a" })).toBe(`${base}/a`);
    expect(await b.bind({ server })).toBe(`${base}/`);
    expect(b.lastEndpoint).toBe(`${base}/`);
    const request = world.connect(world.request(), `${base}/a`);
    await request.send(["x".repeat(100_000)]);
    await a.send(await a.receive());
    expect(String(await request.receive())).toHaveLength(100_000);
    const push = world.connect(world.push(), base);
    await push.send("to the root");
    expect(String(await b.receive())).toBe("to the root");
    const page = await new Promise<string>((resolve) => {
      get(base.replace("ws", "http"), (response) => response.on("data", (bytes) => resolve(String(bytes))));
    });
    expect(page).toBe("a page");
    await expect(world.pull().bind({ server, path: "/a" })).rejects.toMatchObject({ code: "EADDRINUSE" });
    await a.unbind(`${base}/a`);
    await world.pull().bind({ server, path: "/a" });
  });

  it("answers 404 for other paths, unless somebody else listens for upgrades", async () => {
    const { server, base } = await listening();
    const pull = world.pull();
    await pull.bind({ server, path: "/a" });
    const stranger = await WsPeer.connect(base);
    stranger.send(request("GET /b HTTP/1.1"));
    expect(await stranger.rest()).toContain("HTTP/1.1 404 ");
    server.on("upgrade", (_, socket: NetSocket) => socket.end("mine"));
    const other = await WsPeer.connect(base);
    other.send(request("GET /b HTTP/1.1"));
    expect(await other.rest()).toBe("mine");
    await pull.unbind(`${base}/a`);
    expect(server.listenerCount("upgrade")).toBe(1);
  });

  it("may not listen yet; unbind leaves all servers of the endpoint", async () => {
    const [pull, servers] = [world.pull(), [createHttpServer(), createHttpServer()] as const];
    for (const server of servers) expect(await pull.bind({ server, path: "/a" })).toBe("ws://*:*/a");
    await pull.unbind("ws://*:*/a");
    expect(servers.map((server) => server.listenerCount("upgrade"))).toEqual([0, 0]);
  });

  it.each([
    [{ server: {} }, "Server of node:http or node:https; got an object"],
    [{}, "Server of node:http or node:https; got undefined"],
    [{ path: "/a" }, "Server of node:http"],
  ])("is a server: %j", async (given, message) => {
    await expect(world.pull().bind(given as never)).rejects.toMatchObject({
      code: "EINVAL",
      message: expect.stringContaining(message),
    });
  });

  it("has a path, and nothing else", async () => {
    const { server } = await listening();
    for (const path of ["a", "", "/a b", "/a?b", 5, null])
      await expect(world.pull().bind({ server, path } as never)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(world.pull().bind({ server, port: 1 } as never)).rejects.toMatchObject({ code: "EINVAL" });
  });
});

it("the engine libzmq refuses ws, and a server", async () => {
  const context = new Context({ engine: "libzmq" });
  const pull = world.own(new Pull({ context }));
  await expect(pull.bind("ws://127.0.0.1:*")).rejects.toMatchObject({ code: "EPROTONOSUPPORT" });
  await expect(pull.bind({ server: createHttpServer() })).rejects.toMatchObject({ code: "EPROTONOSUPPORT" });
});

/** An answer in which `ACCEPT` stands for the digest of the client's key. */
const answer = (lines: string, start = "HTTP/1.1 101 Yes"): string =>
  `${start}\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n${lines}\r\n\r\n`;

/** A server that answers every request so. */
const answering = (text: string | undefined, isEnd = false): RawServer =>
  new RawServer((socket) => {
    socket.once("data", (asked) => {
      const key = /Sec-WebSocket-Key: (\S+)/.exec(String(asked))?.[1] as string;
      if (text !== undefined) socket.write(text.replace("ACCEPT", acceptOf(key)), "latin1");
      if (isEnd) socket.end();
    });
  });

describe("a peer without a mechanism", () => {
  it("presents its routing id, and gets ours", async () => {
    const router = world.router({ routingId: "server" });
    const peer = await bare(await world.bind(router), frame(0, "client"), frame(0, "first"));
    expect(await peer.receive()).toEqual({ opcode: 2, payload: Buffer.from("\0server") });
    expect((await router.receive()).map(String)).toEqual(["client", "first"]);
    await router.send(["client", "an", "answer"]);
    expect((await peer.receive())?.payload.toString()).toBe("\x01an");
    expect((await peer.receive())?.payload.toString()).toBe("\0answer");
  });

  it("subscribes with messages", async () => {
    const publisher = world.publisher();
    const peer = await bare(await world.bind(publisher), frame(0, ""), frame(0, "\x01a"));
    await publisher.waitForSubscribers({ topic: "a" });
    await publisher.send(["b"]);
    await publisher.send(["a"]);
    expect((await peer.receive())?.payload.toString()).toBe("\0");
    expect((await peer.receive())?.payload.toString()).toBe("\0a");
  });

  it("is authenticated like one with NULL, and not let in otherwise", async () => {
    const seen: PeerCredentials[] = [];
    let answer = true;
    const authenticate = (who: PeerCredentials): boolean => {
      seen.push(who);
      return answer;
    };
    const { pull, endpoint } = await bound({ authenticate });
    await bare(endpoint, frame(0, ""), frame(0, "let in"));
    expect(String(await pull.receive())).toBe("let in");
    expect(seen).toMatchObject([{ mechanism: "NULL", address: "127.0.0.1" }]);
    answer = false;
    const refused = nextEvent(pull, "peer:refused");
    const peer = await bare(endpoint, frame(0, ""), frame(0, "not let in"));
    expect((await refused).error.code).toBe("ERR_AUTHENTICATION");
    await peer.end();
    expect(pull.stats().received).toBe(1);
  });

  it.each([
    ["a routing id of 256 bytes", frame(0, "x".repeat(256))],
    ["a routing id of several frames", frame(1, "a")],
    ["a command", readyOf("PUSH")],
  ])("does not begin with %s", async (_, bytes) => {
    const { pull, endpoint } = await bound();
    const failed = nextEvent(pull, "handshake:error:protocol");
    const peer = await bare(endpoint, bytes);
    await failed;
    await peer.end();
  });

  it("is not let in where there is a mechanism", async () => {
    const { endpoint } = await bound({ plainServer: true, authenticate: () => true });
    const peer = await WsPeer.connect(endpoint);
    peer.send(request("Sec-WebSocket-Protocol: ZWS2.0, ZWS2.0/NULL"));
    expect(await peer.rest()).toMatch(/^HTTP\/1\.1 400 .*subprotocol must be ZWS2\.0\/PLAIN/s);
  });

  it("is spoken to by a client whose server chooses so", async () => {
    // What follows comes in one piece with the answer.
    const behind = "\x82\x01\0\x82\x03\0hi";
    const server = answering(answer("Upgrade: websocket\r\nSec-WebSocket-Protocol: ZWS2.0") + behind);
    const pair = world.connect(world.pair(), (await server.listen(world)).replace("tcp", "ws"));
    expect(String(await pair.receive())).toBe("hi");
  });
});

describe("an upgrade that is refused gets an answer and an end, and no 101:", () => {
  const many = `GET / HTTP/1.1\r\n${"a: b\r\n".repeat(20_000)}\r\n`;
  const also = (lines: string): string => request().replace("\r\n\r\n", `\r\n${lines}\r\n\r\n`);
  it.each([
    ["another version of WebSocket", request("Sec-WebSocket-Version: 8"), "426"],
    ["no version", request("Sec-WebSocket-Version:"), "426"],
    ["another upgrade", request("Upgrade: h2c"), "426"],
    ["a connection that is not upgraded", request("Connection: close"), "426"],
    ["no key", request("Sec-WebSocket-Key:"), "400"],
    ["a key of 15 bytes", request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), "400"],
    ["a key that is no base64", request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q=="), "400"],
    ["a key with bits behind its end", request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="), "400"],
    ["two keys", also("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), "400"],
    ["no host", request("Host:"), "400"],
    ["two hosts", also("Host: b"), "400"],
    ["two origins", also("Origin: http://127.0.0.1\r\nOrigin: http://127.0.0.1"), "400"],
    ["a body", request("Content-Length: 5"), "400"],
    ["a body in chunks", request("Transfer-Encoding: chunked"), "400"],
    ["POST", request("POST / HTTP/1.1"), "405"],
    ["an older HTTP", request("GET / HTTP/1.0"), "505"],
    ["a URL where a path belongs", request("GET http://a/ HTTP/1.1"), "400"],
    ["a star where a path belongs", request("GET * HTTP/1.1"), "400"],
    ["a header too many", also(`${"X: 1\r\n".repeat(MAX_HEADERS - 6)}X: 1`), "431"],
    ["another subprotocol", request("Sec-WebSocket-Protocol: mqtt"), "400"],
    ["a page of another site", request("Origin: http://evil.example"), "403"],
    ["CONNECT", request("CONNECT a HTTP/1.1"), "405"],
    ["a method that is none", request("BREW / HTTP/1.1"), "400"],
    ["a body of two lengths", request("Content-Length: 0", "Transfer-Encoding: chunked"), "400"],
    ["lines without CR", request().replaceAll("\r", ""), "400"],
    ["a folded header", request("X: a\r\n b"), "400"],
    ["three requests at once, of no upgrade", request("Upgrade:").repeat(3), "426"],
    ["a header of 1 MiB", `GET / HTTP/1.1\r\nCookie: ${"x".repeat(1_048_576)}\r\n\r\n`, "431"],
    ["20,000 headers", many, "431"],
    ["ZMTP", "\xff\0\0\0\0\0\0\0\x01\x7f\x03", "400"],
    ["TLS", "\x16\x03\x01\x02\0", "400"],
  ])("%s", async (_, bytes, status) => {
    const { pull, endpoint } = await bound();
    const refused = nextEvent(pull, "handshake:error:protocol");
    const peer = await WsPeer.connect(endpoint);
    peer.socket.write(bytes, "latin1");
    const answer = await peer.rest();
    // What is cut while it is being sent may not be heard.
    if (bytes.length < 100_000) expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual([`HTTP/1.1 ${status}`]);
    expect(answer).not.toContain("101 Switching");
    expect((await refused).error.message).toContain(`status ${status}`);
    // The next one is served.
    const push = world.connect(world.push(), endpoint);
    await push.send("still here");
    expect(String(await pull.receive())).toBe("still here");
  });

  it("a page of another name over loopback is refused with the reason, unless its origin is listed", async () => {
    const change = ["Origin: http://rebound.example", "Host: rebound.example"];
    const { endpoint } = await bound();
    const peer = await WsPeer.connect(endpoint);
    peer.send(request(...change));
    expect(await peer.rest()).toContain("Host must be localhost");
    const listed = await bound({ wsOrigins: "http://rebound.example" });
    await peerOf(listed.endpoint, ...change);
    // A program names what it likes.
    await peerOf(endpoint, "Host: rebound.example");
  });

  it.each([
    [
      "as many headers as there may be",
      `${"X: 1\r\n".repeat(MAX_HEADERS - 7)}Sec-WebSocket-Protocol: ZWS2.0`,
    ],
    ["lists over several lines", "Connection: keep-alive\r\nSec-WebSocket-Protocol: chat , ZWS2.0/NULL"],
  ])("but not for %s", async (_, lines) => {
    const peer = await WsPeer.connect(await world.bind(world.pull()));
    const own = request("Connection: UPGRADE", "Upgrade: WebSocket", "Sec-WebSocket-Protocol: mqtt");
    peer.send(own.replace("\r\n\r\n", `\r\n${lines}\r\n\r\n`));
    expect(await peer.head()).toContain("HTTP/1.1 101 ");
    peer.socket.destroy();
  });

  it("from origins that are allowed it is not refused", async () => {
    const { endpoint } = await bound({ wsOrigins: "https://a.example, http://b.example:81" });
    await peerOf(endpoint, "Origin: http://b.example:81");
    await peerOf(endpoint);
    const peer = await WsPeer.connect(endpoint);
    peer.send(request("Origin: http://b.example"));
    expect(await peer.rest()).toContain("HTTP/1.1 403 ");
    const all = await bound({ wsOrigins: "*" });
    await peerOf(all.endpoint, "Origin: null");
  });

  it("an upgrade that does not come ends within handshakeInterval, and gives way when there are too many", async () => {
    const { pull, endpoint } = await bound({ handshakeInterval: 200, maxPendingHandshakes: 2 });
    for (const said of ["", request().slice(0, 30)]) {
      const failed = nextEvent(pull, "handshake:error:other");
      const slow = await WsPeer.connect(endpoint);
      slow.send(said);
      expect(await slow.rest()).toBe("");
      expect((await failed).error.message).toContain("no request within 200 ms");
    }
    const halved = nextEvent(pull, "handshake:error:other");
    (await WsPeer.connect(endpoint)).socket.end(request().slice(0, 30));
    expect((await halved).error.message).toContain("hung up before its upgrade");
    const patient = await bound({ handshakeInterval: 0, maxPendingHandshakes: 2 });
    const evicted = nextEvent(patient.pull, "handshake:error:other");
    const first = await WsPeer.connect(patient.endpoint);
    for (let i = 0; i < 2; i++) await WsPeer.connect(patient.endpoint);
    await first.end();
    expect((await evicted).error.message).toContain("was evicted");
  });
});

describe("what comes in one piece with an upgrade", () => {
  it.each(["a port's", "a server's of the program"])("is read behind it: %s", async (whose) => {
    const pull = world.pull();
    const { server } = await listening();
    const peer = await WsPeer.connect(
      whose === "a port's" ? await world.bind(pull) : await pull.bind({ server }),
    );
    world.after(() => peer.socket.destroy());
    peer.send(Buffer.concat([Buffer.from(request()), readyOf("PUSH"), frame(0, "at once")]));
    expect(String(await pull.receive())).toBe("at once");
    peer.send(frame(0, "later"));
    expect(String(await pull.receive())).toBe("later");
  });

  it("is no second request", async () => {
    const { pull, endpoint } = await bound();
    const failed = nextEvent(pull, "handshake:error:protocol");
    const peer = await WsPeer.connect(endpoint);
    peer.send(request().repeat(2));
    expect((await failed).error.message).toContain("reserved bits");
    expect((await peer.rest()).match(/101 Switching/g)).toHaveLength(1);
  });
});

const taken = "Upgrade: websocket\r\nSec-WebSocket-Protocol: ZWS2.0";

it.each([
  ["answers 200", answer(taken, "HTTP/1.1 200 OK"), "200"],
  ["speaks an older HTTP", answer(taken, "HTTP/1.0 101 Yes"), "not HTTP/1.1"],
  ["does not upgrade", answer("Sec-WebSocket-Protocol: ZWS2.0"), "no upgrade"],
  ["has read another key", answer(taken).replace("ACCEPT", acceptOf(KEY)), "Sec-WebSocket-Accept"],
  ["chooses an extension", answer(`${taken}\r\nSec-WebSocket-Extensions: x`), "extension"],
  ["chooses no subprotocol", answer("Upgrade: websocket"), "no subprotocol"],
  ["chooses two subprotocols", answer(`${taken}\r\nSec-WebSocket-Protocol: ZWS2.0/NULL`), "no subprotocol"],
  ["chooses what was not offered", answer(`${taken}/CURVE`), "not offered"],
  ["answers 404", "HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found"],
  ["is none of HTTP", "SSH-2.0-OpenSSH_9\r\n", "not HTTP/1.1"],
  ["answers with 1 MiB of headers", `HTTP/1.1 101 Yes\r\nX: ${"x".repeat(1_048_576)}`, "too long"],
  ["hangs up", "", "hung up before it answered"],
  ["hangs up within its answer", "HTTP/1.1 101 Swi", "hung up before it answered"],
  ["does not answer", undefined, "did not answer the upgrade within 200 ms"],
  [
    "says for ever that it will",
    "HTTP/1.1 103 Early Hints\r\n\r\n",
    "did not answer the upgrade within 200 ms",
  ],
])("a client's upgrade fails, and it tries again, where the server %s", async (_, text, why) => {
  const server = answering(text, why.startsWith("hung up"));
  const push = world.push({ handshakeInterval: why.includes("200 ms") ? 200 : 30_000 });
  const failed = nextEvent(push, "handshake:error:other");
  const again = nextEvent(push, "connect:retry");
  push.connect((await server.listen(world)).replace("tcp", "ws"));
  expect((await failed).error).toMatchObject({
    code: "ERR_HANDSHAKE",
    message: expect.stringContaining(why),
  });
  await again;
});

describe("a message in fragments", () => {
  it("is one message, with control frames between its fragments; so is a READY", async () => {
    const { pull, endpoint } = await bound();
    const peer = await peerOf(endpoint);
    const ready = readyOf("PUSH");
    const payload = ready.subarray(6).map((byte, i) => byte ^ (ready[2 + (i % 4)] as number));
    peer.send(masked(2, payload.subarray(0, 9), 0x02));
    peer.send(masked(9, "between"));
    peer.send(masked(0, payload.subarray(9)));
    const body = Buffer.alloc(300_000, "shoal");
    peer.send(masked(2, "", 0x02), masked(0, "\x01", 0x00), masked(0, "first"));
    peer.send(masked(2, Buffer.concat([Buffer.of(0), body.subarray(0, 60_000)]), 0x02));
    for (let at = 60_000; at < body.length; at += 60_000)
      peer.send(masked(9, ""), masked(0, body.subarray(at, at + 60_000), at === 240_000 ? 0x80 : 0x00));
    const [first, second] = await pull.receive();
    expect(String(first)).toBe("first");
    expect(second?.equals(body)).toBe(true);
    expect(pull.stats().invalid.frames).toBe(0);
  });

  it("counts for the receiver's marks while it comes", async () => {
    const { pull, endpoint } = await bound({ maxReceiveQueueBytes: 200_000 });
    const [one, other] = [await peerOf(endpoint), await peerOf(endpoint)];
    const half = "x".repeat(120_000);
    for (const peer of [one, other]) {
      peer.send(readyOf("PUSH"), masked(2, `\0${half}`, 0x02), masked(9, ""));
      await peer.receive();
    }
    expect((await one.receive())?.opcode).toBe(10);
    // The other waits for the one that began first.
    other.send(masked(0, half, 0x00), masked(0, "2"));
    one.send(masked(0, half, 0x00), masked(0, "1"));
    expect(String(await pull.receive()).slice(-1)).toBe("1");
    expect(String(await pull.receive()).slice(-1)).toBe("2");
  });
});

it("the fragments of a frame may fill what earlier frames of the message leave of maxMessageSize", async () => {
  const { pull, peer } = await withPeer({ maxMessageSize: 100_000 });
  const gone = nextEvent(pull, "peer:leave");
  peer.send(frame(1, "x".repeat(90_000)), masked(9, ""));
  expect((await peer.receive())?.opcode).toBe(10);
  peer.send(masked(2, `\0${"x".repeat(20_000)}`, 0x02));
  expect((await gone).reason).toBe("protocol");
});

it("fragments of a message that is longer than a limit lowered meanwhile end the connection", async () => {
  const { pull, peer } = await withPeer();
  const gone = nextEvent(pull, "peer:leave");
  peer.send(frame(1, "x".repeat(200_000)), masked(9, ""));
  expect((await peer.receive())?.opcode).toBe(10);
  pull[CORE].engine.policing?.police({ messageSize: 1_000 });
  peer.send(masked(2, `\0${"x".repeat(100_000)}`, 0x02));
  expect((await gone).reason).toBe("protocol");
});

it("a client asks by the ASCII form of a host's name", async () => {
  const { pull, endpoint } = await bound();
  const push = world.connect(world.push(), endpoint.replace("127.0.0.1", "ｌｏｃａｌｈｏｓｔ"));
  await push.send("arrived");
  expect(String(await pull.receive({ timeout: 8_000 }))).toBe("arrived");
});

describe("what breaks the rules ends the connection, and no other:", () => {
  it.each([
    ["a text message", masked(1, "\0x")],
    [
      "fragments past maxMessageSize",
      Buffer.concat([masked(2, "\0", 0x02), masked(0, "x".repeat(9_500), 0x00)]),
    ],
    ["a message past maxMessageSize", frame(0, "x".repeat(1_001))],
  ])("%s", async (_, bytes) => {
    const { pull, endpoint } = await bound({ maxMessageSize: 1_000 });
    const good = world.connect(world.push(), endpoint);
    await good.ready();
    const peer = await peerOf(endpoint);
    peer.send(readyOf("PUSH"));
    expect((await peer.receive())?.payload.toString("latin1", 0, 7)).toBe("\x02\x05READY");
    await until(() => pull.stats().peers === 2, "two peers");
    const gone = nextEvent(pull, "peer:leave");
    const begun = performance.now();
    peer.send(frame(0, "before"), bytes);
    expect((await gone).reason).toBe("protocol");
    // The end, or first a close frame that says why.
    const last = await peer.receive();
    if (last !== undefined)
      expect([last.opcode, last.payload.readUInt16BE(0)]).toEqual([8, expect.any(Number)]);
    await peer.end();
    expect(performance.now() - begun).toBeLessThan(4_000);
    expect(String(await pull.receive())).toBe("before");
    await good.send("good");
    expect(String(await pull.receive())).toBe("good");
  });

  it.each([
    ["a message before READY", frame(0, "early"), "something else than a command"],
    ["a READY of a socket that does not fit", readyOf("SUB"), "cannot talk to a SUB"],
    ["a READY whose metadata is cut off", frame(2, "\x05READY\x0bSocket"), "READY has"],
    ["another command", frame(2, "\x05HELLO"), "expected READY"],
    ["a text message", masked(1, "x"), "opcode 1"],
    ["a command of 1 MiB", frame(2, "x".repeat(1_048_576)), "more than 8192 bytes"],
    ["a command of 200 KB in fragments", masked(2, "\x02".repeat(200_000), 0x02), "more than 8192 bytes"],
  ])("during the handshake: %s", async (_, bytes, what) => {
    const { pull, endpoint } = await bound();
    const failed = nextEvent(pull, "handshake:error:protocol");
    const peer = await peerOf(endpoint);
    const begun = performance.now();
    peer.send(bytes);
    expect((await failed).error.message).toContain(what);
    await peer.end();
    expect(performance.now() - begun).toBeLessThan(4_000);
    expect(pull.stats().received).toBe(0);
  });

  it("a close frame ends it in order: what came before is received, and it is answered", async () => {
    const { pull, peer } = await withPeer();
    const gone = nextEvent(pull, "peer:leave");
    await until(() => pull.stats().peers === 1, "a peer");
    expect(peerViews(pull)[0]?.address).toMatch(/^ws:\/\/127\.0\.0\.1:\d+$/);
    peer.send(frame(0, "last"), masked(8, Buffer.of(3, 232)), frame(0, "not read"));
    expect((await gone).reason).toBe("remote");
    expect(await peer.receive()).toEqual({ opcode: 8, payload: Buffer.of(3, 232) });
    expect(String(await pull.receive())).toBe("last");
    expect(pull.stats().received).toBe(1);
  });
});

describe("pings and pongs", () => {
  it("of the peer are answered with what they have, between the frames of a message, and while much waits", async () => {
    const { pull, peer } = await withPeer();
    peer.send(frame(1, "a"), masked(9, "who?"), frame(0, "b"));
    expect(await peer.receive()).toEqual({ opcode: 10, payload: Buffer.from("who?") });
    expect((await pull.receive()).map(String)).toEqual(["a", "b"]);
  });

  it("find out that a peer is gone, and keep one that answers", async () => {
    const { pull, peer } = await withPeer({ heartbeatInterval: 100, heartbeatTimeout: 300 });
    const gone = nextEvent(pull, "peer:leave");
    for (let i = 0; i < 6; i++) {
      expect(await peer.receive()).toEqual({ opcode: 9, payload: Buffer.alloc(0) });
      peer.send(masked(10, ""));
    }
    expect(pull.stats().peers).toBe(1);
    expect((await gone).reason).toBe("heartbeat"); // It reads the next ping, and answers no more.
  });

  it("keep a page whose limit is reached", async () => {
    const push = world.push({ heartbeatInterval: 50, heartbeatTimeout: 300 });
    const peer = await peerOf(await world.bind(push), "Sec-WebSocket-Protocol: ZMTP3.1-NULL");
    peer.send(masked(2, ready("PULL")));
    await push.send(Buffer.alloc(2_000_000));
    for (let pings = 0; pings < 10; ) {
      const received = await peer.receive();
      expect(received).toBeDefined(); // Not the end.
      if (received?.opcode !== 9) continue;
      pings += 1;
      peer.send(masked(10, ""));
    }
    expect(push.stats().peers).toBe(1);
  });

  it("that nobody reads the answers of keep no memory", async () => {
    const { pull, peer } = await withPeer();
    await until(() => pull.stats().peers === 1, "a peer");
    peer.socket.pause();
    const ping = masked(9, "x".repeat(125));
    const flood = Buffer.concat(Array.from({ length: 10_000 }, () => ping));
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 30; i++) {
      if (!peer.socket.write(flood)) await once(peer.socket, "drain");
    }
    peer.send(frame(0, "behind"));
    expect(String(await pull.receive())).toBe("behind");
    expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000);
  });
});

it("a full peer gets what waits when its sender closes, and then a close frame", async () => {
  const push = world.push();
  const peer = await peerOf(await world.bind(push));
  peer.send(readyOf("PULL"));
  await push.ready();
  for (let i = 0; i < 1_000; i++) await push.send(`${i}`);
  const closed = push.close();
  await peer.receive();
  for (let i = 0; i < 1_000; i++) expect((await peer.receive())?.payload.toString()).toBe(`\0${i}`);
  expect(await peer.receive()).toEqual({ opcode: 8, payload: Buffer.of(3, 232) });
  peer.socket.destroy();
  await closed;
});
