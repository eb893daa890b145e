/** Nodes that take roles, over real sockets: who has one, who takes over, and who gives way. */
import { afterEach, describe, expect, it } from "vitest";
import { ClusterNode, type RoleSeat } from "../../src/cluster/index.js";
import { until, within } from "../contract/support/wait.js";
import { freePort } from "../support/ports.js";

const ROLES = ["primary", "backup"];
let seed = "";
const nodes: ClusterNode[] = [];
afterEach(async () => {
  seed = "";
  await Promise.all(nodes.splice(0).map((node) => node.close({ linger: 0 })));
});

async function started(name: string): Promise<ClusterNode> {
  const port = seed === "" ? await freePort() : 0;
  const node = new ClusterNode({ name, port, multicast: false, seeds: seed === "" ? [] : [seed] });
  nodes.push(node);
  const met = seed === "" ? undefined : new Promise((resolve) => node.events.once("joined", resolve));
  await node.start();
  seed ||= `127.0.0.1:${port}`;
  await met;
  return node;
}

const take = (node: ClusterNode): Promise<RoleSeat> => within(node.takeRole("map", ROLES), "a role");

describe("takeRole", () => {
  it("has a role for as many as there are, and gives one to a spare when its holder has left", async () => {
    const [a, b, c] = [await started("a"), await started("b"), await started("c")];
    const [first, second] = await Promise.all([take(a), take(b)]);
    expect([first.role, second.role].sort()).toEqual(["backup", "primary"]);
    let isSpare = true;
    const third = take(c).then((seat) => {
      isSpare = false;
      return seat;
    });
    await until(() => a.resolve("map/spare").length === 1, "the spare");
    await expect(c.takeRole("map", ROLES)).rejects.toMatchObject({ code: "EFSM" });
    expect([isSpare, first.signal.aborted]).toEqual([true, false]);
    await a.leave();
    expect((await third).role).toBe(first.role);
    expect(first.signal.aborted).toBe(true);
    expect(second.signal.aborted).toBe(false);
  });

  it("gives a role to another when it is released, and can be taken again", async () => {
    const [a, b] = [await started("a"), await started("b")];
    const one = await within(a.takeRole("leader", ["one"]), "the role");
    const waiting = b.takeRole("leader", ["one"]);
    one.release();
    expect([one.signal.aborted, a.tags()]).toEqual([true, []]);
    const other = await within(waiting, "the role of the other");
    const again = a.takeRole("leader", ["one"]);
    await until(() => b.resolve("leader/spare").length === 1, "the spare");
    other.release();
    expect((await within(again, "the role again")).role).toBe("one");
  });

  it("is refused where the details of the node have no room for the tag any more", async () => {
    const a = await started("a");
    const waiting = a.takeRole("map", ["a-role-with-a-name-that-is-long"]);
    // Room for the tag of a spare was there; then the program takes the rest.
    for (let size = 512, count = 0; size > 0; ) {
      try {
        a.props({ [`filler${count}`]: "x".repeat(size) });
        count += 1;
      } catch {
        size >>= 1;
      }
    }
    await expect(within(waiting, "the refusal")).rejects.toMatchObject({ code: "EINVAL" });
    expect(a.tags()).toEqual([]);
  });

  it("ends by its signal, and with the node", async () => {
    const [a, b] = [await started("a"), await started("b")];
    await take(a);
    await within(a.takeRole("other", ["one"]), "another role");
    const stop = new AbortController();
    const aborted = b.takeRole("other", ["one"], { signal: stop.signal });
    stop.abort();
    await expect(aborted).rejects.toMatchObject({ code: "ABORT_ERR" });
    expect(b.tags()).toEqual([]);
    const closing = b.takeRole("other", ["one"]);
    await b.close({ linger: 0 });
    await expect(closing).rejects.toMatchObject({ code: "EAGAIN" });
  });

  it("refuses names and roles that cannot be tags, and a node that does not run", async () => {
    const node = await started("a");
    const wrong: [unknown, unknown][] = [
      ["a/b", ROLES],
      ["", ROLES],
      ["map", []],
      ["map", ["spare"]],
      ["map", ["a b"]],
      ["map", "primary"],
      ["map", ["x".repeat(64)]],
      ["map", Array.from({ length: 9 }, (_, at) => `r${at}`)],
    ];
    for (const [name, roles] of wrong)
      await expect(node.takeRole(name as string, roles as string[])).rejects.toMatchObject({
        code: "EINVAL",
      });
    await expect(node.takeRole("map", ROLES, { wait: 1 } as never)).rejects.toMatchObject({ code: "EINVAL" });
    expect(node.tags()).toEqual([]);
    const idle = new ClusterNode({ name: "idle", port: await freePort(), multicast: false });
    await expect(idle.takeRole("map", ROLES)).rejects.toMatchObject({ code: "EFSM" });
  });
});
