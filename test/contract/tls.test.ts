/** tls://, from outside: who gets in, who does not and what is said of it, and what a peer can do that speaks no TLS. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTcp, createServer, type Socket as NetSocket } from "node:net";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { connect as connectTls, TLSSocket } from "node:tls";
import { beforeAll, describe, expect, it, vi } from "vitest";
import {
  Context,
  Dealer,
  type DealerOptions,
  type EventOfType,
  type EventType,
  InvalidArgumentError,
  type PeerCredentials,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  type RouterOptions,
  type Socket,
  Stream,
} from "../../src/index.js";
import { makeAuthority, makeCertificate } from "../support/certificates.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { RUNTIME } from "../support/engines.js";
import { sharedFolder } from "../support/folders.js";
import { listening } from "../support/listening.js";
import { Relay } from "../support/relay.js";
import { CURVE_SERVER, curveClient, plain as plainly } from "./support/keys.js";
import { until } from "./support/wait.js";

const folder = sharedFolder();
const pem = (name: string): string => readFileSync(join(folder, name), "latin1");
const pair = (name: string) => ({ tlsCert: pem(`${name}.pem`), tlsKey: pem(`${name}.key`) });
const context = new Context({ engine: "zmtp" });
/** docs/installing.md: the engine libzmq is for Node.js; Deno does not check the certificates of clients. */
const CHECKS_CLIENTS = RUNTIME !== "deno";

beforeAll(() => {
  const serves = "extendedKeyUsage=serverAuth\n";
  makeAuthority(folder, "ca");
  makeAuthority(folder, "other");
  makeCertificate(folder, "server", {
    extensions: `subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\n${serves}`,
  });
  makeCertificate(folder, "renewed", {
    extensions: `subjectAltName=IP:127.0.0.1\n${serves}`,
    subject: "/CN=new",
  });
  makeCertificate(folder, "named", { extensions: `subjectAltName=DNS:broker.test\n${serves}` });
  makeCertificate(folder, "ended", { extensions: `subjectAltName=IP:127.0.0.1\n${serves}`, days: -1 });
  makeCertificate(folder, "client", { subject: "/CN=sensor 7" });
  makeCertificate(folder, "ended-client", { days: -1 });
  makeCertificate(folder, "stranger", { authority: "other" });
}, 60_000);

const keep = closeAfterEach();

/** Without a bound: some of them never come. */
function next<T extends EventType>(socket: Socket, type: T): Promise<EventOfType<T>> {
  return new Promise((resolve) => socket.events.once(type, resolve));
}

const router = (options: RouterOptions): Router => keep(new Router({ context, ...options }));
const dealer = (options: DealerOptions): Dealer =>
  keep(new Dealer({ context, reconnectInterval: 10, sendHighWaterMark: 0, ...options }));

async function bound(options: RouterOptions, endpoint = "tls://127.0.0.1:*"): Promise<Router> {
  const server = router({ ...pair("server"), ...options });
  await server.bind(endpoint);
  return server;
}

function portOf(socket: Socket): number {
  return Number((socket.lastEndpoint as string).split(":").at(-1));
}

/** A client that knows the authority and is connected to the server. */
function joins(server: Socket, options: DealerOptions = {}): Dealer {
  const client = dealer({ tlsCa: pem("ca.pem"), ...options });
  client.connect(server.lastEndpoint as string);
  return client;
}

/** A peer is refused, and none joins. */
async function refuses(socket: Socket, why: RegExp): Promise<void> {
  const event = await Promise.race([next(socket, "peer:refused"), next(socket, "peer:join")]);
  expect(event).toMatchObject({ error: { code: "ERR_AUTHENTICATION", message: expect.stringMatching(why) } });
}

/** A connection that speaks no TLS, and reads nothing. */
function bare(server: Socket): NetSocket {
  const socket = connectTcp(portOf(server), "127.0.0.1").on("error", () => undefined);
  keep({ close: () => socket.destroy() });
  return socket;
}

/** A round trip, both ways. */
async function talk(client: Dealer, server: Router, text = "hello"): Promise<void> {
  await client.send(text);
  const [id, body] = (await server.receive()) as [Buffer, Buffer];
  expect(String(body)).toBe(text);
  await server.send([id, `${text} back`]);
  expect(String((await client.receive())[0])).toBe(`${text} back`);
}

describe("tls://", () => {
  it("is resolved and reported as tls, and over IPv6 and by name as well", async () => {
    const server = await bound({ ipv6: true }, "tls://*:*");
    expect(server.lastEndpoint).toMatch(/^tls:\/\/\[::\]:\d+$/);
    for (const host of ["127.0.0.1", "localhost", "[::1]"]) {
      const client = dealer({ tlsCa: pem("ca.pem"), ipv6: true });
      client.connect(`tls://${host}:${portOf(server)}`);
      await talk(client, server, host);
    }
  });

  it("is not joined by a client that expects another address of IPv6 in the certificate", async () => {
    const server = await bound({});
    const client = joins(server, { tlsServerName: "::2" });
    expect((await next(client, "peer:refused")).error.message).toMatch(/not accepted.*::2/);
  });

  it("delivers what was sent before close, and nothing in clear", async () => {
    const pull = keep(new Pull({ context, ...pair("server") }));
    await pull.bind("tls://127.0.0.1:*");
    const seen: Buffer[] = [];
    const { relay, endpoint } = await relayTo(pull);
    relay.change = (chunk) => {
      seen.push(chunk);
      return chunk;
    };
    const push = keep(new Push({ context, tlsCa: pem("ca.pem") }));
    push.connect(endpoint);
    for (let i = 0; i < 1_000; i++) await push.send(`the secret ${i}`);
    await push.close();
    for (let i = 0; i < 1_000; i++) expect(String((await pull.receive())[0])).toBe(`the secret ${i}`);
    const wire = Buffer.concat(seen);
    expect(wire.includes("the secret")).toBe(false);
    expect(wire.includes("NULL")).toBe(false);
  });

  it("carries CURVE and PLAIN within it", async () => {
    const curve = await bound(CURVE_SERVER);
    await talk(joins(curve, curveClient()), curve);
    const plain = await bound({ plainServer: true, authenticate: ({ password }) => password === "right" });
    await talk(joins(plain, plainly("me", "right")), plain);
  });

  it.skipIf(!CHECKS_CLIENTS)("gives authenticate the client's certificate", async () => {
    const asked: PeerCredentials[] = [];
    const server = await bound({
      tlsCa: pem("ca.pem"),
      authenticate: (peer) => {
        asked.push(peer);
        return peer.certificate?.subject === "CN=sensor 7";
      },
    });
    const client = joins(server, pair("client"));
    await talk(client, server);
    expect(asked).toHaveLength(1);
    expect(asked[0]?.address).toBe("127.0.0.1");
    expect(asked[0]?.certificate?.toString()).toBe(pem("client.pem"));
  });

  it("is found by name with SNI where the certificate has that name", async () => {
    const server = await bound(pair("named"));
    await talk(joins(server, { tlsServerName: "broker.test" }), server);
    await talk(joins(server, { tlsCheckName: false }), server);
  });

  it("has heartbeats: a link that carries nothing more is given up", async () => {
    const server = await bound({});
    const { relay, endpoint } = await relayTo(server);
    const client = dealer({ tlsCa: pem("ca.pem"), heartbeatInterval: 50, heartbeatTimeout: 200 });
    client.connect(endpoint);
    await talk(client, server);
    relay.blackHole(true);
    expect((await next(client, "peer:leave")).reason).toBe("heartbeat");
  });
});

it.skipIf(!CHECKS_CLIENTS).each(["TLSv1.2", "TLSv1.3"] as const)(
  "a client of %s that would resume its session is asked for its certificate again",
  async (version) => {
    const server = await bound({ tlsCa: pem("ca.pem") });
    const problems: string[] = [];
    server.events.on("handshake:error:protocol", ({ error }) => problems.push(error.message));
    const reaches = async (session: Buffer | undefined): Promise<Buffer | undefined> => {
      const client = connectTls({
        port: portOf(server),
        host: "127.0.0.1",
        ca: pem("ca.pem"),
        cert: pem("client.pem"),
        key: pem("client.key"),
        minVersion: version,
        maxVersion: version,
        ...(session === undefined ? {} : { session }),
      });
      let latest: Buffer | undefined;
      client.on("session", (given) => {
        latest = given;
      });
      // The server's greeting is after its tickets.
      await once(client, "data");
      expect(client.isSessionReused()).toBe(false);
      client.destroy();
      return latest;
    };
    const session = await reaches(undefined);
    await reaches(session);
    expect(problems).toEqual([]);
  },
);

describe("a new certificate", () => {
  it("is shown to the peers that come from then on; those that are there stay", async () => {
    const server = await bound({});
    const client = joins(server);
    await talk(client, server);
    Object.assign(server, pair("renewed"));
    expect(await subjectAt(portOf(server))).toBe("new");
    await talk(client, server);
  });

  it.each([
    { tlsCert: "" },
    { tlsKey: "" },
    { tlsCert: "", tlsKey: "" },
  ])("that is empty (%j) is refused, or the last one goes on", async (empty) => {
    await expect(bound(empty)).rejects.toMatchObject({ code: "EINVAL" });
    const server = await bound({});
    const failed = next(server, "accept:error");
    Object.assign(server, empty);
    expect(await subjectAt(portOf(server))).toBeUndefined();
    expect((await failed).error.message).toContain("goes on with its last certificate");
    await talk(joins(server), server);
  });

  it("that does not fit its key is reported once, and the last one goes on", async () => {
    const server = await bound({});
    const errors: string[] = [];
    server.events.on("accept:error", ({ error }) => errors.push(error.message));
    expect(await subjectAt(portOf(server))).toBeUndefined();
    server.tlsCert = pem("renewed.pem");
    expect(await subjectAt(portOf(server))).toBeUndefined();
    expect(await subjectAt(portOf(server))).toBeUndefined();
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain("goes on with its last certificate");
    server.tlsKey = pem("renewed.key");
    expect(await subjectAt(portOf(server))).toBe("new");
  });

  it("that is unusable leaves each endpoint with the socket's last one", async () => {
    const server = await bound({});
    const first = portOf(server);
    Object.assign(server, pair("renewed"));
    await server.bind("tls://127.0.0.1:*");
    server.tlsKey = "";
    expect([await subjectAt(first), await subjectAt(portOf(server))]).toEqual(["new", "new"]);
  });

  it.each([
    ["has no certificate", () => "not in PEM"],
    ["is cut off", () => pem("ca.pem").slice(0, -100)],
    ["is cut off after a whole one", () => pem("ca.pem") + pem("other.pem").slice(0, -100)],
  ])("whose tlsCa %s is refused, or the last one goes on", async (_, unusable) => {
    await expect(bound({ tlsCa: unusable() })).rejects.toMatchObject({ code: "EINVAL" });
    const server = await bound({});
    const failed = next(server, "accept:error");
    server.tlsCa = unusable();
    await talk(joins(server), server);
    expect((await failed).error.message).toContain("goes on with its last certificate");
  });

  it.skipIf(!CHECKS_CLIENTS)("that is unusable leaves the authorities of clients as they were", async () => {
    const server = await bound({ tlsCa: pem("ca.pem") });
    await talk(joins(server, pair("client")), server);
    Object.assign(server, { tlsCert: "", tlsCa: null });
    joins(server);
    await refuses(server, /no certificate/);
  });

  it("of authorities that is unusable is reported at each attempt of a client, until it is mended", async () => {
    const server = await bound({});
    const client = joins(server);
    client.tlsCa = pem("ca.pem").slice(0, -100);
    expect((await next(client, "connect:retry")).error?.message).toContain(
      "tlsCa has a certificate that cannot be read",
    );
    client.tlsCa = pem("ca.pem");
    await talk(client, server);
  });

  it.skipIf(!CHECKS_CLIENTS)("of a client lets it in at the next attempt", async () => {
    const server = await bound({ tlsCa: pem("ca.pem") });
    const client = joins(server, pair("stranger"));
    await next(server, "peer:refused");
    Object.assign(client, pair("client"));
    await talk(client, server);
  });
});

describe("a server refuses, and says why,", () => {
  it.skipIf(!CHECKS_CLIENTS).each([
    ["a client without a certificate", {}, /no certificate/],
    ["one of another authority", "stranger", /not accepted.*UNABLE_TO_VERIFY|not accepted.*unable/],
    ["one that has ended", "ended-client", /not accepted.*CERT_HAS_EXPIRED/],
  ] as const)("%s", async (_, who, why) => {
    const server = await bound({ tlsCa: pem("ca.pem") });
    const client = joins(server, typeof who === "string" ? pair(who) : {});
    const saw = next(client, "connect:retry");
    await refuses(server, why);
    expect((await saw).error?.code).toMatch(/^ERR_/);
  });

  it("a client of an older version", async () => {
    const server = await bound({ tlsMinVersion: "TLSv1.3" });
    const failed = next(server, "handshake:error:protocol");
    const old = connectTls({
      port: portOf(server),
      host: "127.0.0.1",
      ca: pem("ca.pem"),
      maxVersion: "TLSv1.2",
    });
    keep({ close: () => old.destroy() });
    old.on("error", () => undefined);
    expect((await failed).error.message).toMatch(/TLS: .*(?:version|protocol|Tls12NotOffered)/i);
  });
});

describe("a client refuses, and says why,", () => {
  it.each([
    ["a server of an unknown authority", "server", "other.pem", /not accepted.*(?:issuer|first certificate)/],
    ["a server with another name", "named", "ca.pem", /not accepted.*ERR_TLS_CERT_ALTNAME_INVALID/],
    ["a server whose certificate has ended", "ended", "ca.pem", /not accepted.*CERT_HAS_EXPIRED/],
    ["a server of no authority of the system's", "server", undefined, /not accepted/],
  ] as const)("%s", async (_, shown, ca, why) => {
    const server = await bound(pair(shown));
    await refuses(joins(server, { tlsCa: ca === undefined ? null : pem(ca) }), why);
  });

  it("a server that speaks no TLS, and one that says nothing", async () => {
    const plain = router({});
    await plain.bind("tcp://127.0.0.1:*");
    const client = dealer({ tlsCa: pem("ca.pem") });
    const failed = next(client, "handshake:error:protocol");
    client.connect((plain.lastEndpoint as string).replace("tcp", "tls"));
    expect((await failed).error.message).toMatch(/TLS: wrong version number/);
    const port = await listening(createServer(() => undefined));
    const waits = dealer({ tlsCa: pem("ca.pem"), handshakeInterval: 200 });
    const late = next(waits, "handshake:error:other");
    waits.connect(`tls://127.0.0.1:${port}`);
    expect((await late).error.message).toContain("within 200 ms");
  });
});

describe("a peer that speaks no TLS", () => {
  it("meets no ZMTP: it is ended, with an event, and the next one gets in", async () => {
    const server = await bound({});
    const failed = next(server, "handshake:error:protocol");
    const plain = dealer({});
    plain.connect((server.lastEndpoint as string).replace("tls", "tcp"));
    expect((await failed).error.message).toMatch(/^Handshake at tls:.* failed: TLS: /);
    await talk(joins(server), server);
  });

  it("and says nothing is ended by handshakeInterval, and counts in maxPendingHandshakes", async () => {
    const server = await bound({ handshakeInterval: 300, maxPendingHandshakes: 3 });
    const faults: string[] = [];
    server.events.on("handshake:error:other", ({ error }) => faults.push(error.message));
    const silent = Array.from({ length: 5 }, () => bare(server));
    await until(
      () => silent.every((socket) => socket.resume().readableEnded || socket.destroyed),
      "their ends",
    );
    expect(faults.filter((fault) => fault.includes("was evicted"))).toHaveLength(2);
    expect(faults.filter((fault) => fault.includes("within 300 ms"))).toHaveLength(3);
  });

  it("is cut at once when it gives way, without time to flush", async () => {
    const server = await bound({ handshakeInterval: 0, maxPendingHandshakes: 1 });
    const failed = next(server, "handshake:error:other");
    const first = bare(server);
    await once(first, "connect");
    const ended = once(first.resume(), "close");
    bare(server);
    // A connection that is left to flush ends by a timer, and no timer comes.
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    try {
      expect((await failed).error.message).toContain("was evicted");
      await ended;
    } finally {
      vi.useRealTimers();
    }
  });

  it.each([
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")],
    ["half a hello", Buffer.from([22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3])],
    ["nothing but an end", Buffer.alloc(0)],
  ])("%s is ended within the handshake's time", async (_, bytes) => {
    const server = await bound({ handshakeInterval: 500 });
    const socket = bare(server);
    await once(socket, "connect");
    if (bytes.length === 0) socket.end();
    else socket.write(bytes);
    await until(() => socket.resume().readableEnded || socket.destroyed, "the end");
    await talk(joins(server), server);
  });
});

it.each([
  ["tls", "tls://127.0.0.1:*", "tls://127.0.0.1:1"],
  ["ws", "ws://127.0.0.1:*", "ws://127.0.0.1:1"],
  ["inproc", "inproc://stream", "inproc://stream"],
])("a STREAM has no %s", async (_, bound, connected) => {
  const stream = keep(new Stream({ context, ...pair("server") }));
  await expect(stream.bind(bound)).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
  expect(() => stream.connect(connected)).toThrow(/use tcp/);
});

describe.skipIf(RUNTIME !== "node")("a client that breaks TLS after the handshake, and stays", () => {
  async function broken(options: RouterOptions): Promise<NetSocket> {
    const server = await bound(options);
    const raw = bare(server);
    const stream = new Duplex({ read: () => undefined, write: (bytes, _, done) => raw.write(bytes, done) });
    raw.on("data", (bytes) => stream.push(bytes));
    const client = connectTls({ socket: stream, ca: pem("ca.pem"), host: "127.0.0.1" });
    await once(client, "data"); // The server's greeting, after which it writes nothing.
    // The client does not hear the server's alert.
    raw.removeAllListeners("data").resume();
    raw.write(Buffer.from([23, 3, 3, 0, 20, ...new Uint8Array(20)]));
    return raw;
  }

  it("is ended at once", async () => {
    const raw = await broken({ handshakeInterval: 0 });
    await until(() => raw.readableEnded || raw.destroyed, "the end");
  });

  it("is ended by handshakeInterval without _tlsError of Node.js", async () => {
    const hidden = vi.spyOn(TLSSocket.prototype as unknown as { _tlsError(): null }, "_tlsError");
    hidden.mockReturnValue(null);
    try {
      const raw = await broken({ handshakeInterval: 200 });
      await until(() => raw.readableEnded || raw.destroyed, "the end");
      expect(hidden).toHaveBeenCalled();
    } finally {
      hidden.mockRestore();
    }
  });
});

describe("a relay", () => {
  it("that changes a byte ends the connection, and no changed message arrives", async () => {
    const server = await bound({});
    let forge = false;
    const { relay, endpoint } = await relayTo(server);
    relay.change = (chunk, direction) => {
      if (!forge || direction === "down") return chunk;
      forge = false;
      const changed = Buffer.from(chunk);
      changed[chunk.length - 5] = (changed[chunk.length - 5] as number) ^ 1;
      return changed;
    };
    const client = dealer({ tlsCa: pem("ca.pem") });
    client.connect(endpoint);
    await talk(client, server);
    const left = next(server, "peer:leave");
    const again = next(client, "peer:join");
    forge = true;
    await client.send("is forged");
    await left;
    await again; // What is sent before this side knows of the loss is lost with it.
    await talk(client, server, "after");
  });

  it.skipIf(!CHECKS_CLIENTS)(
    "that cuts after each number of bytes of the handshake leaves nothing behind, and the next attempt gets in",
    async () => {
      const server = await bound({ tlsCa: pem("ca.pem") });
      for (let cut = 0; cut <= 2_600; cut += 200) {
        const { relay, endpoint } = await relayTo(server);
        relay.cutAfter("up", cut);
        const client = dealer({ tlsCa: pem("ca.pem"), ...pair("client") });
        const joined = next(client, "peer:join");
        client.connect(endpoint);
        await joined;
        if (cut <= 1_000) expect(relay.cuts).toBe(1);
        relay.cutAfter("up"); // What follows is longer than a handshake.
        await talk(client, server, `cut at ${cut}`);
        await client.close({ linger: 0 });
      }
    },
  );
});

describe("bind and connect throw for", () => {
  it.each([
    ["a bind without a certificate", "bind", {}, /tlsCert and tlsKey/],
    ["a certificate without its key", "connect", { tlsCert: "x" }, /needs tlsKey/],
    ["a key without its certificate", "bind", { tlsKey: "x" }, /needs tlsCert/],
    ["text that is no certificate", "bind", { tlsCert: "x", tlsKey: "y" }, /cannot be used/],
    ["authorities without a certificate", "connect", { tlsCa: "" }, /tlsCa has no certificate/],
  ] as const)("%s", async (_, use, options, message) => {
    const socket = dealer(options);
    const failed =
      use === "bind" ? socket.bind("tls://127.0.0.1:*") : (async () => socket.connect("tls://127.0.0.1:1"))();
    await expect(failed).rejects.toThrow(InvalidArgumentError);
    await expect(failed).rejects.toThrow(message);
    expect(socket.lastEndpoint).toBeNull();
  });

  it("a key of another certificate, without saying the key", async () => {
    const socket = router({ tlsCert: pem("server.pem"), tlsKey: pem("client.key") });
    const error = await socket.bind("tls://127.0.0.1:*").catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect((error as Error).message).not.toContain(pem("client.key").slice(40, 80));
    expect(JSON.stringify(socket)).not.toContain("PRIVATE KEY");
  });

  it.skipIf(CHECKS_CLIENTS)("authorities of clients, where their certificates are not checked", async () => {
    const socket = router({ ...pair("server"), tlsCa: pem("ca.pem") });
    await expect(socket.bind("tls://127.0.0.1:*")).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
    // Set later, nobody is let in.
    const server = await bound({});
    const client = dealer({ tlsCa: pem("ca.pem"), ...pair("client") });
    server.tlsCa = pem("ca.pem");
    const refused = next(server, "peer:refused");
    client.connect(server.lastEndpoint as string);
    expect((await refused).error.message).toContain("does not check");
  });

  it.skipIf(RUNTIME !== "node")("the native engine, which has no TLS", () => {
    const native = new Context({ engine: "libzmq" });
    expect(() => new Request({ context: native, tlsCert: "x" })).toThrow(
      expect.objectContaining({ code: "NOT_SUPPORTED" }),
    );
    const reply = keep(new Reply({ context: native }));
    expect(() => reply.connect("tls://127.0.0.1:1")).toThrow(
      expect.objectContaining({ code: "EPROTONOSUPPORT" }),
    );
  });
});

/** Between clients and a server. */
async function relayTo(server: Socket): Promise<{ relay: Relay; endpoint: string }> {
  const relay = keep(await Relay.to(server.lastEndpoint as string));
  return { relay, endpoint: relay.endpoint.replace("tcp", "tls") };
}

/** The common name in the certificate that a port shows. */
async function subjectAt(port: number): Promise<string | undefined> {
  const peer = connectTls({ port, host: "127.0.0.1", ca: pem("ca.pem") });
  await once(peer, "secureConnect");
  const { CN } = peer.getPeerCertificate().subject;
  peer.destroy();
  return CN as string | undefined;
}
