/** Nodes that advertise endpoints, and resolvers of others that have them: on one machine in virtual time. */
import { describe, expect } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { Pull, Push } from "../../src/index.js";
import { collect, nextEvent, thrown, until, within } from "../contract/support/wait.js";
import { EndpointLists, hostTest as it, started } from "./simulated.js";

describe("advertised endpoints", () => {
  it("come and go with tags, drains, and members that leave and come again, in one list for many changes", async () => {
    const [B, C] = ["tcp://127.0.0.1:5001", "tcp://127.0.0.1:5002"] as const;
    const a = await started("a");
    const lists = new EndpointLists(a.resolver({ has: ["billing"], not: ["paused"] }));
    const b = await started("b", { advertise: { billing: B } });
    const c = await started("c", { advertise: { billing: C } });
    await lists.are(B, C);
    const before = lists.all.length;
    for (let i = 0; i < 50; i++) {
      b.tags("paused");
      b.tags({ remove: ["paused"] });
    }
    b.tags("paused");
    await lists.are(C);
    expect(lists.all.length - before).toBeLessThan(7);
    b.tags({ remove: ["paused"] });
    await lists.are(B, C);
    await b.drain();
    await lists.are(C);
    expect(a.resolve("billing")).toHaveLength(2); // A snapshot has them all.
    await c.leave();
    await lists.are();
    await started("c", { advertise: { billing: C } });
    await lists.are(C);
  });

  it("end with the node that has the resolver, and keep their last list in use", async () => {
    const a = await started("a");
    const pull = new Pull();
    const endpoint = await pull.bind("tcp://127.0.0.1:*");
    a.advertise("grain", endpoint);
    const lists = new EndpointLists(a.resolver({ has: ["grain"] }));
    const push = new Push();
    push.connect(a.resolver({ has: ["grain"] }));
    await nextEvent(push, "source:changed");
    await a.close();
    await until(() => lists.ended, "the end of the lists");
    expect(lists.last).toEqual([endpoint]);
    await push.send("still");
    expect(await collect(pull, 1)).toEqual(["still"]);
    expect(thrown(() => [...a.resolver()])).toMatchObject({ code: "EBADF" });
  });

  it("are bounded: one too many changes nothing, or is an event", async () => {
    const a = await started("a");
    for (let i = 0; i < 7; i++) a.advertise("work", `tcp://127.0.0.1:${6_000 + i}`);
    const pull = new Pull();
    a.advertise("bound", pull);
    await pull.bind("tcp://127.0.0.1:*");
    expect(a.self.endpoints.bound).toHaveLength(1);
    expect(thrown(() => a.advertise("work", "tcp://127.0.0.1:7000"))).toMatchObject({ code: "EINVAL" });
    const refused = new Promise((resolve) => a.events.once("endpoint:refused", resolve));
    const endpoint = await pull.bind("tcp://127.0.0.1:*");
    expect(await within(refused, "the event")).toMatchObject({
      name: "bound",
      endpoint,
      error: { code: "EINVAL" },
    });
    expect(a.self.addresses).toHaveLength(1 + 8);
    // There is room again.
    await pull.unbind(endpoint);
    expect(a.self.addresses).toHaveLength(1 + 8);
  });

  it("are checked before anything happens", () => {
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    const billing = Array.from({ length: 9 }, (_, i) => `tcp://h:${i + 1}`);
    for (const advertise of [{ billing }, [] as never])
      expect(() => new ClusterNode({ advertise })).toThrow(EINVAL);
    const a = new ClusterNode({ name: "a" });
    expect(thrown(() => a.advertise("work", {} as never))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => a.resolver({ any: [] } as never))).toMatchObject({ code: "EINVAL" });
    expect(thrown(() => [...a.resolver()])).toMatchObject({ code: "EFSM" });
  });
});
