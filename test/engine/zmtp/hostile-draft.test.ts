/** Peers of the draft sockets that break their rules, over bare connections: what they send is refused, others are served. */
import { describe, expect, it } from "vitest";
import type { Socket } from "../../../src/index.js";
import { Channel, Client, Dish, Gather, Peer, Radio, Server } from "../../../src/sockets/draft/index.js";
import { nextEvent, until, within } from "../../contract/support/wait.js";
import { command, frame } from "../../contract/support/zmtp-peer.js";
import { HostileWorld, MIB, memory } from "./support/hostile-world.js";
import { shaken } from "./support/raw-server.js";

const world = new HostileWorld();
const { context } = world;
const WAIT = { timeout: 15_000 };
const more = (body: string): Buffer => {
  const bytes = frame(body);
  bytes[0] = 1;
  return bytes;
};

const cases: [string, string, () => Socket][] = [
  ["SERVER", "CLIENT", () => new Server({ context })],
  ["CLIENT", "SERVER", () => new Client({ context })],
  ["GATHER", "SCATTER", () => new Gather({ context })],
  ["PEER", "PEER", () => new Peer({ context })],
  ["CHANNEL", "CHANNEL", () => new Channel({ context })],
];

it.each(
  cases,
)("a message of two frames to a %s ends its connection, counted and reported", async (_, theirs, make) => {
  const socket = world.own(make()) as Gather;
  const peer = await shaken(world, socket, theirs);
  const invalid = nextEvent(socket, "invalid");
  const left = nextEvent(socket, "disconnect");
  peer.write(frame("good"), more("a"), frame("b"));
  expect(String((await socket.receive(WAIT))[0])).toBe("good");
  expect((await invalid).error.message).toContain("Refused a message of more than 1 frame");
  expect((await left).reason).toBe("protocol");
  expect(socket.stats()).toMatchObject({ received: 1, receiveQueued: 0, peers: 0 });
  expect(socket.stats().invalid.tooLarge).toBe(1);
});

it("a DISH throws away what is not a group and a body, and groups that it is not in", async () => {
  const dish = world.own(new Dish({ context }));
  dish.join("g");
  const peer = await shaken(world, dish, "RADIO");
  const long = Buffer.concat([Buffer.from("030000000000000100", "hex"), Buffer.alloc(256, "g")]);
  peer.write(frame("g"), more("g"), more("x"), frame("y"), long, frame("body"));
  peer.write(more("other"), frame("x"), more("gg"), frame("x"), more(""), frame("x"));
  peer.write(more("g"), frame("good"));
  expect(await dish.receive(WAIT)).toEqual([Buffer.from("good"), { group: Buffer.from("g") }]);
  expect(dish.stats().invalid.frames).toBe(3);
  expect(dish.stats()).toMatchObject({ received: 1, receiveQueued: 0 });
});

describe("a RADIO", () => {
  async function start() {
    const radio = world.own(new Radio({ context }));
    const endpoint = await world.bind(radio);
    const dish = world.own(new Dish({ context }));
    const joined = nextEvent(radio, "subscribe");
    dish.join("good");
    dish.connect(endpoint);
    await joined;
    const works = async (): Promise<void> => {
      await radio.send("x", { group: "good" });
      expect(String((await dish.receive(WAIT))[0])).toBe("x");
    };
    const peer = await shaken(world, endpoint, "DISH");
    return { radio, works, peer };
  }

  it("ends the connection of a peer that joins a group of 256 bytes", async () => {
    const { radio, works, peer } = await start();
    const left = nextEvent(radio, "disconnect");
    peer.write(command("JOIN", "g".repeat(255)), command("JOIN", "g".repeat(256)));
    expect((await left).reason).toBe("protocol");
    await within(peer.closed, "the connection's end");
    await works();
  });

  it("throws away messages, and keeps nothing of groups that come and go", async () => {
    const { radio, works, peer } = await start();
    const before = memory();
    const churn = Array.from({ length: 1_000 }, (_, at) => [
      command("JOIN", `group ${at}`),
      command("JOIN", `group ${at}`),
      command("LEAVE", `group ${at}`),
      command("LEAVE", `group ${at}`),
      frame("a message"),
    ]).flat();
    let [come, gone] = [0, 0];
    radio.events.on("subscribe", () => void come++);
    radio.events.on("unsubscribe", () => void gone++);
    for (let i = 0; i < 20; i++) peer.write(...churn);
    await until(() => gone === 20_000, "all groups left");
    expect(come).toBe(20_000);
    await works();
    expect(radio.stats().peers).toBe(2);
    expect(memory() - before).toBeLessThan(16 * MIB);
  });

  it("reports each member that leaves a group, and those of a peer that hangs up", async () => {
    const radio = world.own(new Radio({ context }));
    const endpoint = await world.bind(radio);
    const heard: string[] = [];
    radio.events.on("subscribe", ({ topic }) => heard.push(`+${topic}`));
    radio.events.on("unsubscribe", ({ topic }) => heard.push(`-${topic}`));
    const [one, other] = [await shaken(world, endpoint, "DISH"), await shaken(world, endpoint, "DISH")];
    for (const peer of [one, other]) peer.write(command("JOIN", "g"));
    await until(() => heard.length === 2, "both joined");
    one.write(command("LEAVE", "g"), command("LEAVE", "other"));
    await until(() => heard.length === 3, "one left");
    other.socket.destroy();
    await until(() => heard.length === 4, "the other left");
    expect(heard).toEqual(["+g", "+g", "-g", "-g"]);
  });
});
