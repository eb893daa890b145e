import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { Dealer, Reply, Request, Router, registerTransport } from "../../src/index.js";
import {
  acceptLinks,
  dialLink,
  LinkTransport,
  type MultiplexLink,
  type MultiplexLinkOptions,
  openLink,
} from "../../src/link/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { listening } from "../support/listening.js";

const PASSWORD = "correct horse battery";
const transport = new LinkTransport();
const opened = closeAfterEach();

registerTransport(transport);

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
      links.push(opened(await openLink(stream, { role: "responder", password: PASSWORD, onChannel })));
    },
    { path: "/links" },
  );
  const port = await listening(server);
  return {
    port,
    links,
    dial: async () => {
      const stream = await dialLink(`http://127.0.0.1:${port}/links`);
      return opened(await openLink(stream, { role: "initiator", password: PASSWORD }));
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
