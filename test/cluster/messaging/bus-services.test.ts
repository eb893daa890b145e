/** send, query and hooks of nodes that have no messages, or have not started. */
import { describe, expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";

describe("services of nodes", () => {
  it("say what a bus without messages, and one that was not started, cannot do", async () => {
    const off = new ClusterNode({ messaging: false });
    expect(() => off.onQuery(() => "")).toThrow("messaging is false");
    expect(() => off.hook("event", () => undefined)).toThrow("messaging is false");
    await expect(off.send({ resolve: "x" })).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
    const early = new ClusterNode({ messaging: { channels: [7, "orders"] } });
    early.hook("event", () => undefined);
    early.onMessage(() => undefined);
    expect(early.channels.joined).toEqual([7, "orders"]);
    await expect(early.send({ resolve: "x" })).rejects.toMatchObject({ code: "EFSM" });
    expect(() => early.query({ resolve: "x" })).toThrow("was not started");
    expect(() => new ClusterNode({ messaging: { channels: [256] } })).toThrow("a channel must be");
  });
});
