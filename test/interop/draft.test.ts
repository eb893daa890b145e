/** The draft sockets of the engine zmtp against those of the package `zeromq` itself, both ways. */
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { Context, type Socket } from "../../src/index.js";
import { Client, Dish, Gather, Radio, Scatter, Server } from "../../src/sockets/draft/index.js";
import { until, within } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";

interface Theirs {
  readonly lastEndpoint: string;
  readonly readable: boolean;
  bind(endpoint: string): Promise<void>;
  connect(endpoint: string): void;
  close(): void;
  send(message: unknown, options?: object): Promise<void>;
  receive(): Promise<[Buffer, { routingId: number; group: Buffer }]>;
}
type Made = new (options?: object) => Theirs;
const require = createRequire(import.meta.url);
const drafts = require("zeromq/draft") as Record<string, Made>;
const { join, leave } = (
  require("zeromq") as { Socket: { prototype: Record<string, (group: string) => void> } }
).Socket.prototype as Record<"join" | "leave", (this: Theirs, group: string) => void>;

const context = new Context({ engine: "zmtp" });
const ours = closeAfterEach();
function theirs(name: string): Theirs {
  const socket = new (drafts[name] as Made)({ linger: 0 });
  ours({ close: () => socket.close() }); // It takes no options.
  return socket;
}

/** Connects the two, one or the other binding. */
async function link(mine: Socket, other: Theirs, binds: string): Promise<void> {
  if (binds === "ours") other.connect(await mine.bind("tcp://127.0.0.1:*"));
  else {
    await other.bind("tcp://127.0.0.1:*");
    mine.connect(other.lastEndpoint);
  }
}

const SIZES = [0, 1, 255, 256, 70_000, 3_000_000];

describe.each(["ours", "theirs"])("where %s binds", (binds) => {
  it("our CLIENT talks to their SERVER", async () => {
    const client = ours(new Client({ context }));
    const server = theirs("Server");
    await link(client, server, binds);
    for (const size of SIZES) {
      const body = Buffer.alloc(size, "x");
      await client.send(body);
      const [got, address] = await within(server.receive(), "a request");
      expect(got.equals(body)).toBe(true);
      await server.send(got, address);
      expect((await client.receive({ timeout: 15_000 }))[0].equals(body)).toBe(true);
    }
  });

  it("their CLIENT talks to our SERVER", async () => {
    const server = ours(new Server({ context }));
    const client = theirs("Client");
    await link(server, client, binds);
    for (const size of SIZES) {
      const body = Buffer.alloc(size, "y");
      await client.send(body);
      const [got, address] = await server.receive({ timeout: 15_000 });
      expect(got.equals(body)).toBe(true);
      await server.send(got, address);
      expect((await within(client.receive(), "a reply"))[0].equals(body)).toBe(true);
    }
  });

  it("their DISH joins, and leaves, groups of our RADIO", async () => {
    const radio = ours(new Radio({ context }));
    const groups: string[] = [];
    radio.events.on("subscribe", ({ topic }) => groups.push(`+${topic}`));
    radio.events.on("unsubscribe", ({ topic }) => groups.push(`-${topic}`));
    const dish = theirs("Dish");
    join.call(dish, "before");
    await link(radio, dish, binds);
    // libzmq sends what a bound DISH joined when its program next calls it.
    await until(() => dish.readable || groups.length === 1, "the first group");
    const long = "g".repeat(255);
    join.call(dish, long);
    join.call(dish, "");
    await until(() => groups.length === 3, "the others");
    for (const group of ["before", long, ""]) {
      await radio.send("nobody", { group: `${group}x`.slice(0, 255) === long ? "none" : `${group}x` });
      await radio.send(`to ${group.length}`, { group });
      const [body, meta] = await within(dish.receive(), "a message");
      expect([String(body), String(meta.group)]).toEqual([`to ${group.length}`, group]);
    }
    leave.call(dish, long);
    await until(() => groups.length === 4, "the leaving");
    expect(groups).toEqual(["+before", `+${long}`, "+", `-${long}`]);
  });

  it("our DISH joins, and leaves, groups of their RADIO", async () => {
    const radio = theirs("Radio");
    const dish = ours(new Dish({ context }));
    dish.join("before");
    await link(dish, radio, binds);
    const long = "g".repeat(255);
    dish.join(long, "", "left");
    dish.leave("left");
    let done = false;
    const sends = (async () => {
      while (!done) {
        for (const group of ["before", "left", long, ""]) await radio.send(`to ${group.length}`, { group });
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    const seen = new Set<string>();
    while (seen.size < 3) {
      const [body, meta] = await dish.receive({ timeout: 15_000 });
      expect(String(body)).toBe(`to ${meta.group.length}`);
      seen.add(String(meta.group));
    }
    done = true;
    await sends;
    expect(seen).toEqual(new Set(["before", long, ""]));
  });

  it("SCATTER and GATHER, either ours", async () => {
    for (const [mine, other] of [
      [ours(new Scatter({ context })), theirs("Gather")],
      [ours(new Gather({ context })), theirs("Scatter")],
    ] as const) {
      await link(mine, other, binds);
      const [from, to] = (mine instanceof Scatter ? [mine, other] : [other, mine]) as unknown as [
        Theirs,
        Theirs,
      ];
      for (let i = 0; i < 1_000; i++) await from.send(String(i));
      for (let i = 0; i < 1_000; i++)
        expect(String((await within(to.receive(), "a message"))[0])).toBe(`${i}`);
    }
  });
});
