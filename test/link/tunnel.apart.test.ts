/** Sockets, tcp ports and the messages of a cluster through links: all over one port of an HTTP server. */
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, createServer as createTcp, Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ClusterNode, streamProtocol } from "../../src/cluster/index.js";
import { curveKeyPair, Dealer, Reply, Request, Router, registerTransport } from "../../src/index.js";
import {
  acceptLinks,
  commence,
  dialLink,
  forwardChannels,
  forwardPort,
  LinkTransport,
  type MultiplexLink,
  type MultiplexLinkOptions,
} from "../../src/link/index.js";

const PASSWORD = "correct horse battery";
const transport = new LinkTransport();
const open: { close(): unknown }[] = [];

registerTransport(transport);
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close();
});

function opened<T extends { close(): unknown }>(each: T): T {
  open.push(each);
  return each;
}

/** Each socket's sends and receives end in time: what hangs is a failure. */
const WAITS = { sendTimeout: 10_000, receiveTimeout: 10_000 } as const;

interface Gate {
  readonly port: number;
  readonly links: MultiplexLink[];
  /** Makes a link to it. */
  dial(): Promise<MultiplexLink>;
}

/** An HTTP server that takes links at /links, and answers all else. */
async function gate(onChannel: NonNullable<MultiplexLinkOptions["onChannel"]>): Promise<Gate> {
  const server = createServer((_, response) => response.end("hello"));
  const links: MultiplexLink[] = [];
  acceptLinks(
    server,
    async (stream) => {
      links.push(opened(await commence(stream, { role: "acceptor", password: PASSWORD, onChannel })));
    },
    { path: "/links" },
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opened({ close: () => server.close() });
  const { port } = server.address() as { port: number };
  return {
    port,
    links,
    dial: async () => {
      const stream = await dialLink(`http://127.0.0.1:${port}/links`);
      return opened(await commence(stream, { role: "dialler", password: PASSWORD }));
    },
  };
}

describe("sockets over links", () => {
  it("send and receive by names, several over one link", async () => {
    const { dial, links } = await gate(transport.onChannel);
    const link = await dial();
    const remove = transport.add("site-a", link);
    const reply = opened(new Reply(WAITS));
    expect(await reply.bind("link://orders")).toBe("link://orders");
    const router = opened(new Router(WAITS));
    await router.bind("link://stock");
    const request = opened(new Request(WAITS));
    request.connect("link://site-a/orders");
    const dealer = opened(new Dealer(WAITS));
    dealer.connect("link://site-a/stock");

    await request.send("an order");
    expect(String((await reply.receive())[0])).toBe("an order");
    await reply.send("done");
    expect(String((await request.receive())[0])).toBe("done");
    const large = Buffer.alloc(5_000_000, 7);
    await dealer.send(["x", large]);
    const [id, , body] = await router.receive();
    expect(large.equals(body as Buffer)).toBe(true);
    await router.send([id as Buffer, "back"]);
    expect(String((await dealer.receive())[0])).toBe("back");
    expect(links).toHaveLength(1);
    expect(link.channels.map(({ name }) => name).sort()).toEqual(["zmtp/orders", "zmtp/stock"]);
    remove();
  });

  it("connect again, over another link, when theirs has ended", async () => {
    const { dial, links } = await gate(transport.onChannel);
    opened({ close: transport.add("site-b", dial) });
    const reply = opened(new Reply(WAITS));
    await reply.bind("link://again");
    const request = opened(new Request({ ...WAITS, reconnectInterval: 10 }));
    request.connect("link://site-b/again");
    for (let round = 0; round < 3; round++) {
      await request.send(`round ${round}`);
      expect(String((await reply.receive())[0])).toBe(`round ${round}`);
      await reply.send("yes");
      await request.receive();
      const lost = new Promise<unknown>((resolve) => request.events.once("peer:leave", resolve));
      await links.at(-1)?.close({ linger: 0 });
      await lost;
    }
    expect(links.length).toBeGreaterThan(2);
  });

  it("wait for a name that nobody has bound yet, and are refused again when it is unbound", async () => {
    const { dial } = await gate(transport.onChannel);
    opened({ close: transport.add("site-c", dial) });
    const request = opened(new Request({ ...WAITS, reconnectInterval: 10 }));
    const refused = new Promise<unknown>((resolve) =>
      request.events.once("connect:retry", ({ error }) => resolve(error)),
    );
    request.connect("link://site-c/later");
    expect(await refused).toMatchObject({ code: "ECONNREFUSED" });
    const first = opened(new Reply(WAITS));
    await first.bind("link://later");
    await expect(opened(new Reply()).bind("link://later")).rejects.toMatchObject({ code: "EADDRINUSE" });
    await request.send("hello");
    await first.receive();
    await first.unbind("link://later");
    const second = opened(new Reply(WAITS));
    second.bindSync("link://later");
  });

  it("have their own security: CURVE between the sockets, the password between the links", async () => {
    const { dial } = await gate(transport.onChannel);
    opened({ close: transport.add("site-d", dial) });
    const server = curveKeyPair();
    const own = curveKeyPair();
    const seen: unknown[] = [];
    const reply = opened(
      new Reply({
        ...WAITS,
        curveServer: true,
        curvePublicKey: server.publicKey,
        curveSecretKey: server.secretKey,
        authenticate: async ({ address, publicKey }) => seen.push([address, publicKey]) > 0,
      }),
    );
    await reply.bind("link://secret");
    const request = opened(
      new Request({
        ...WAITS,
        curveServerKey: server.publicKey,
        curvePublicKey: own.publicKey,
        curveSecretKey: own.secretKey,
      }),
    );
    request.connect("link://site-d/secret");
    await request.send("hello");
    await reply.receive();
    expect(seen).toEqual([["127.0.0.1", own.publicKey]]);
  });

  it("refuse endpoints that lead nowhere, with what was meant", async () => {
    const socket = opened(new Dealer());
    for (const endpoint of ["link://a", "link:///x", "link://a/", "link://a/b/c"])
      expect(() => socket.connect(endpoint)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    await expect(socket.bind("link://a/b")).rejects.toMatchObject({ code: "EINVAL" });
    await expect(socket.bind(`link://${"x".repeat(201)}`)).rejects.toMatchObject({ code: "EINVAL" });
    const { dial } = await gate(transport.onChannel);
    opened({ close: transport.add("warehouse", dial) });
    const failed = new Promise<unknown>((resolve) =>
      socket.events.once("connect:retry", ({ error }) => resolve(error)),
    );
    socket.connect("link://warehous/x");
    expect(await failed).toMatchObject({
      code: "EHOSTUNREACH",
      message: expect.stringContaining("did you mean warehouse?"),
    });
    expect(() => transport.add("warehouse", dial)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => transport.add("a/b", dial)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => transport.add("x", {} as never)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  });

  it("leave other channels to the program, or refuse them", async () => {
    const own = new LinkTransport({ scheme: "other", otherwise: (channel) => channel.pipe(channel) });
    const { dial } = await gate(own.onChannel);
    const link = await dial();
    const channel = await link.open("mine");
    channel.end("echo");
    expect(await text(channel)).toBe("echo");
    await expect(link.open("zmtp/nobody")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    const strict = await (await gate(transport.onChannel)).dial();
    await expect(strict.open("mine")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});

/** A tcp server, and what connects to it. */
async function listen(onSocket: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcp({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on("error", () => undefined));
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opened({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return `127.0.0.1:${(server.address() as { port: number }).port}`;
}

function dialTcp(address: string): Socket {
  const socket = connect({ host: "127.0.0.1", port: Number(address.split(":")[1]), allowHalfOpen: true });
  opened({ close: () => socket.destroy() });
  return socket.on("error", () => undefined);
}

/** Settles when a connection is over, whichever way: a reset is an error as well. */
function closed(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once("close", resolve));
}

describe("ports through links", () => {
  it("carry programs that know nothing of links: sockets over tcp, behind the port of an HTTP server", async () => {
    const reply = opened(new Reply(WAITS));
    const target = (await reply.bind("tcp://127.0.0.1:*")).slice("tcp://".length);
    const { dial, port } = await gate(forwardChannels({ orders: target }));
    const { address } = opened(await forwardPort(dial, "orders"));
    const requests = Array.from({ length: 3 }, () => opened(new Request(WAITS)));
    for (const request of requests) request.connect(`tcp://${address}`);
    for (const [i, request] of requests.entries()) {
      await request.send(`order ${i}`);
      expect(String((await reply.receive())[0])).toBe(`order ${i}`);
      await reply.send("done");
      expect(String((await request.receive())[0])).toBe("done");
    }
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("hello");
  });

  it("keep all bytes and half-close, in both directions", async () => {
    const bytes = Buffer.alloc(3_000_000, "0123456789");
    const target = await listen((socket) => {
      let came = 0;
      // Not by iteration, which ends the other direction, too.
      socket.on("data", ({ length }) => (came += length)).on("end", () => socket.end(`${came} bytes came`));
    });
    const { dial } = await gate(forwardChannels({ count: target }));
    const { address } = opened(await forwardPort(dial, "count"));
    const socket = dialTcp(address);
    socket.end(bytes);
    expect(await text(socket)).toBe("3000000 bytes came");
  });

  it("end a connection that has nowhere to go, and go on with the next", async () => {
    const free = await listen(() => undefined);
    const nobody = await listen(() => undefined);
    await open.pop()?.close();
    const { dial } = await gate(forwardChannels({ gone: nobody, there: free }));
    const link = await dial();
    for (const name of ["gone", "unknown"]) {
      const forwarded = opened(await forwardPort(link, name));
      const socket = dialTcp(forwarded.address);
      await closed(socket.resume());
      if (name === "unknown") expect(forwarded.error).toMatchObject({ code: "ECONNREFUSED" });
    }
    const { address } = opened(await forwardPort(link, "there"));
    const socket = dialTcp(address);
    await once(socket, "connect");
    expect(link.ended).toBe(false);
  });

  it("go on when the system has no room for connections, which is the error until the next one", async () => {
    const target = await listen((socket) => socket.end("welcome"));
    const { dial } = await gate(forwardChannels({ greet: target }));
    const listened = vi.spyOn(Server.prototype, "listen");
    const port = opened(await forwardPort(dial, "greet"));
    const server = listened.mock.contexts[0] as Server;
    listened.mockRestore();
    const shortage = Object.assign(new Error("accept ENFILE"), { code: "ENFILE" });
    for (let n = 0; n < 2; n++) server.emit("error", shortage);
    expect(port.error).toBe(shortage);
    expect(await text(dialTcp(port.address))).toBe("welcome");
    expect(port.error).toBeUndefined();
  });

  it("break at one end when they break at the other", async () => {
    let there: Socket | undefined;
    const target = await listen((socket) => {
      there = socket;
      socket.write("hello");
    });
    const { dial } = await gate(forwardChannels({ x: target }));
    const { address } = opened(await forwardPort(dial, "x"));
    const first = dialTcp(address);
    await once(first, "data");
    const reset = once(first, "error");
    there?.resetAndDestroy();
    // What is cut off does not look as if it had ended in order.
    await expect(reset).resolves.toMatchObject([{ code: "ECONNRESET" }]);
    const second = dialTcp(address);
    await once(second, "data");
    const ended = closed(there as Socket);
    second.resetAndDestroy();
    await ended;
  });

  it("hold a bounded part of what a reader does not read", async () => {
    const written = { bytes: 0 };
    const target = await listen((socket) => {
      const piece = Buffer.alloc(65_536);
      const go = (): void => {
        while (socket.write(piece)) written.bytes += piece.length;
        written.bytes += piece.length;
        socket.once("drain", go);
      };
      go();
    });
    const { dial } = await gate(forwardChannels({ flood: target }));
    const link = await dial();
    const { address } = opened(await forwardPort(link, "flood"));
    const socket = dialTcp(address);
    socket.pause();
    await once(socket, "connect");
    // Another channel goes on meanwhile, and what is held is within the windows and the system's buffers.
    let last = -1;
    while (written.bytes !== last) {
      last = written.bytes;
      for (let i = 0; i < 20; i++) await link.open("tcp/unknown").catch(() => undefined);
    }
    expect(link.stats().unreadBytes).toBeLessThanOrEqual(link.stats().windowBytes);
    expect(last).toBeLessThan(64_000_000);
  });

  it("refuse wrong names, targets and options", async () => {
    const link = await (await gate(forwardChannels({}))).dial();
    const wrong = expect.objectContaining({ code: "EINVAL" });
    for (const targets of [{ a: "host" }, { a: "host:0" }, { a: ":80" }, { a: 80 }, { "": "a:1" }, null])
      expect(() => forwardChannels(targets as never)).toThrow(wrong);
    expect(() => forwardChannels({ a: "[::1]:80" })).not.toThrow();
    await expect(forwardPort(link, "")).rejects.toEqual(wrong);
    await expect(forwardPort(link, "a", { port: 70_000 })).rejects.toEqual(wrong);
    await expect(forwardPort(link, "a", { prt: 1 } as never)).rejects.toEqual(wrong);
    await expect(forwardPort({} as never, "a")).rejects.toEqual(wrong);
    const { address } = opened(await forwardPort(link, "a"));
    const port = Number(address.split(":")[1]);
    await expect(forwardPort(link, "a", { port })).rejects.toMatchObject({ code: "EADDRINUSE" });
  });
});

describe("messages of a cluster over links", () => {
  it("go through the port of each program's own HTTP server", { timeout: 30_000 }, async () => {
    const group = `tunnel-${process.pid}`;
    const used: string[] = [];
    const start = async (name: string, seeds: string[]): Promise<ClusterNode> => {
      let accept: (stream: Duplex) => void = () => undefined;
      const { port } = await gate((channel) => {
        if (channel.name !== "messages") throw new Error("unknown");
        accept(channel);
      });
      const links = new Map<string, Promise<MultiplexLink>>();
      const overLinks = streamProtocol({
        name: "link",
        reaches: () => true,
        async listen(onStream) {
          accept = onStream;
          return { advert: `${port}`, close: async () => undefined };
        },
        async connect(where, { host }) {
          const url = `http://${host}:${where}/links`;
          const link =
            links.get(url) ??
            dialLink(url).then((stream) => commence(stream, { role: "dialler", password: PASSWORD }));
          links.set(url, link);
          const channel = await opened(await link).open("messages");
          used.push(name);
          return channel;
        },
      });
      const options = { name, group, seeds, multicast: false, registry: false };
      const node = new ClusterNode({ ...options, messaging: { protocols: [overLinks] } });
      await node.start();
      opened({ close: () => node.close({ linger: 0 }) });
      return node;
    };
    const a = await start("a", []);
    const b = await start("b", [a.address]);
    a.serve("double", async (body: number) => body * 2);
    expect(await b.request("double", 21, { waitForReady: true, timeout: 20_000 })).toBe(42);
    expect(used.length).toBeGreaterThan(0);
  });
});
