/** A node measures its members over the host's own sockets. */
import { afterEach, describe, expect, it } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { freePort } from "../support/ports.js";

describe("a node", () => {
  const nodes: ClusterNode[] = [];
  afterEach(() => Promise.all(nodes.splice(0).map((node) => node.close({ linger: 0 }))));

  it("measures members and reachability; itself, strangers and bad options are refused", async () => {
    const multicast = { group: "239.192.7.7", port: await freePort() };
    const group = `survey-${process.pid}`;
    for (const name of ["a", "b", "c"]) nodes.push(new ClusterNode({ name, group, multicast }));
    const [a, b] = nodes as [ClusterNode, ClusterNode];
    const all = Promise.all(
      nodes.map(async (node) => {
        for await (const _ of node.events) if (node.members().length === 3) return;
      }),
    );
    await Promise.all(nodes.map((node) => node.start()));
    await all;
    expect(await a.rtt("b")).toBeGreaterThan(0);
    const { members, pairs, skipped } = await a.reachability();
    expect([members.length, pairs.length, skipped]).toEqual([3, 2 + 2, 0]);
    expect(new Set(pairs.map(({ state }) => state))).toEqual(new Set(["reached"]));
    await expect(a.rtt("a")).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    await expect(a.rtt("nobody")).rejects.toMatchObject({ code: "EHOSTUNREACH" });
    await expect(a.rtt("b", { timeout: 0 })).rejects.toMatchObject({ code: "EINVAL" });
    await expect(a.reachability({ timout: 1 } as never)).rejects.toMatchObject({ code: "EINVAL" });
    const pending = a.rtt("b", { timeout: 60_000 });
    await b.close({ linger: 0 });
    await Promise.all([pending.catch(() => undefined), a.close({ linger: 0 })]);
    await expect(a.rtt("b")).rejects.toMatchObject({ code: "EBADF" });
  });
});
