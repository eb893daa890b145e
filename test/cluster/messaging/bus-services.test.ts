/** send and query between real nodes: by links and by datagram, with keys. */
import { describe, expect, it } from "vitest";
import { ClusterNode, type ServiceMessage } from "../../../src/cluster/index.js";
import { freePort } from "../../support/ports.js";
import { testNodes } from "../nodes.js";

const PORT = await freePort();
const { node, cluster } = testNodes(() => ({ multicast: { port: PORT } }));

describe("services of real nodes", () => {
  it("answers the query of the seed: three services, two of which answer", async () => {
    const [one, two, three] = await cluster(["one", "two", "three"]);
    for (const [each, word] of [
      [one, "Hello,"],
      [two, "World!"],
    ] as const)
      each.onQuery(({ service }) => {
        if (!service.local) throw new Error("Only Local can Query");
        return word;
      });
    const { replies, failed, missing } = await three
      .query({ resolve: "localhost", data: "set ::var" })
      .collect();
    expect(replies.map(({ data }) => data).sort()).toEqual(["Hello,", "World!"]);
    expect([failed, missing]).toEqual([[], []]);
    expect(three.stats().services).toMatchObject({ sent: 2, queries: 0 });
  });

  it("sends by links and by datagram, sealed by a key", async () => {
    const key = "0".repeat(40);
    const [a, ...others] = await cluster(["a", "b", "c"], { key });
    const got: ServiceMessage[] = [];
    const all = new Promise<void>((resolve) => {
      for (const other of others)
        other.onMessage((message) => {
          got.push(message);
          if (got.length === 4) resolve();
        });
    });
    const links = await a.send({ services: ["b", "c"], channel: 1, ruid: "r", data: Buffer.from([0, 255]) });
    expect([links.sent.length, links.failed, links.means]).toEqual([2, [], "links"]);
    const datagram = await a.send({ broadcast: true, data: "all" });
    expect([datagram.sent.length, datagram.failed, datagram.means]).toEqual([2, [], "datagram"]);
    await all;
    const texts = got.map(({ data, protocol, service }) => {
      expect(service.name).toBe(a.self.name);
      return typeof data === "string"
        ? `text ${data} ${protocol}`
        : `bytes ${data.toString("hex")} ${protocol}`;
    });
    expect(texts.sort()).toEqual(["bytes 00ff tcp", "bytes 00ff tcp", "text all udp", "text all udp"]);
  });

  it("sends and asks by the protocols that a call names, whichever its link has", async () => {
    const messaging = { protocols: ["ipc", "tcp"] } as const;
    const [a, b] = await cluster(["a", "b"], { messaging });
    const got: string[] = [];
    let seen = (): void => undefined;
    b.onMessage(({ data, protocol }) => {
      got.push(`${data} ${protocol}`);
      seen();
    });
    b.onQuery(({ protocol }) => `by ${protocol}`);
    const all = new Promise<void>((resolve) => {
      seen = () => got.length === 4 && resolve();
    });
    const hooked: string[] = [];
    a.hook("protocol:send", (_, { protocol }) => void hooked.push(protocol));
    const send = async (data: string, protocols?: string[]): Promise<unknown> =>
      (await a.send({ services: ["b"], data, ...(protocols && { protocols }) })).failed;
    expect(await send("1")).toEqual([]);
    expect(await send("2", ["tcp"])).toEqual([]);
    expect(await send("3", ["ipc"])).toEqual([]);
    expect(await send("4", ["ipc", "tcp"])).toEqual([]);
    await all;
    expect(got.sort()).toEqual(["1 ipc", "2 tcp", "3 ipc", "4 ipc"]);
    expect(hooked).toEqual(["ipc", "tcp", "ipc", "ipc"]);
    const { replies } = await a.query({ services: ["b"], protocols: ["tcp"] }).collect();
    expect(replies.map(({ data }) => data)).toEqual(["by tcp"]);
    const [refused] = (await a.send({ services: ["b"], protocols: ["ws"] })).failed;
    expect(refused?.error).toMatchObject({ code: "EHOSTUNREACH" });
    expect(refused?.error.message).toBe(`the link to ${b.self.name} is ipc, and it is not reached by ws`);
  });

  it("says what a bus without messages, and one that was not started, cannot do", async () => {
    const off = node("off", { messaging: false });
    expect(() => off.onQuery(() => "")).toThrow("messaging is false");
    expect(() => off.hook("event", () => undefined)).toThrow("messaging is false");
    await expect(off.send({ resolve: "x" })).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
    const early = node("early", { messaging: { channels: [7, "orders"] } });
    early.hook("event", () => undefined);
    early.onMessage(() => undefined);
    expect(early.channels.joined).toEqual([7, "orders"]);
    await expect(early.send({ resolve: "x" })).rejects.toMatchObject({ code: "EFSM" });
    expect(() => early.query({ resolve: "x" })).toThrow("was not started");
    expect(() => new ClusterNode({ messaging: { channels: [256] } })).toThrow("a channel must be");
  });

  it("calls hooks of services as they come and go", async () => {
    const [a, b] = await cluster(["a", "b"]);
    const log: string[] = [];
    a.hook("service:lost", (service) => void log.push(service.name.split("@")[0] as string));
    const lost = new Promise((resolve) => a.events.once("left", resolve));
    await b.leave();
    await lost;
    expect(log).toEqual(["b"]);
  });
});
