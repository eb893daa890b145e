/** send and query between real nodes: by links and by datagram, with keys. */
import { describe, expect, it } from "vitest";
import { ClusterNode, type MemberMessage } from "../../../src/cluster/index.js";
import { freePort } from "../../support/ports.js";
import { testNodes } from "../nodes.js";

const PORT = await freePort();
const { node, cluster } = testNodes(() => ({ multicast: { port: PORT } }));

describe("services of real nodes", () => {
  it("sends by links and by datagram, sealed by a key", async () => {
    const key = "0".repeat(40);
    const [a, ...others] = await cluster(["a", "b", "c"], { key });
    const got: MemberMessage[] = [];
    const all = new Promise<void>((resolve) => {
      for (const other of others)
        other.onMessage((message) => {
          got.push(message);
          if (got.length === 4) resolve();
        });
    });
    const links = await a.send({ members: ["b", "c"], channel: 1, ruid: "r", data: Buffer.from([0, 255]) });
    expect([links.sent.length, links.failed, links.means]).toEqual([2, [], "links"]);
    const datagram = await a.send({ broadcast: true, data: "all" });
    expect([datagram.sent.length, datagram.failed, datagram.means]).toEqual([2, [], "datagram"]);
    await all;
    const texts = got.map(({ data, protocol, member }) => {
      expect(member.name).toBe(a.self.name);
      return typeof data === "string"
        ? `text ${data} ${protocol}`
        : `bytes ${data.toString("hex")} ${protocol}`;
    });
    expect(texts.sort()).toEqual(["bytes 00ff tcp", "bytes 00ff tcp", "text all udp", "text all udp"]);
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
});
