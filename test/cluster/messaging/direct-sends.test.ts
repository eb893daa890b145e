/** Answers to one-to-one messages: those that are lost with a node that only stood still are given again. */
import { expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { DirectResults, DirectSends } from "../../../src/cluster/messaging/direct-sends.js";
import { DirectFault, ItemReader } from "../../../src/cluster/messaging/items.js";
import { simulate } from "../../../src/testing/index.js";

const KEY = "01234567890123456789012345678901234567ab";

/** Gives a sender an answer as it came. */
function give(sends: DirectSends, item: Buffer | undefined): void {
  const reader = new ItemReader();
  reader.start(item as Buffer, 1);
  expect(sends.onResult("b", reader)).toBe(true);
}

it("an answer that was lost with its node is given again when that is back, with what failed, once", async () => {
  const answers: Buffer[] = [];
  const results = new DirectResults((_, item) => void answers.push(item));
  const sends = new DirectSends();
  const arrived = sends.add("b", Infinity, () => undefined);
  const failed = expect(sends.add("b", Infinity, () => undefined)).rejects.toMatchObject({
    code: "EHOSTUNREACH",
  });
  results.handled("a", 1, 0);
  results.handled("a", 2, DirectFault.CLOSED);
  await Promise.resolve();
  expect(answers.splice(0)).toHaveLength(1);
  results.found("a");
  results.lost("a");
  expect(answers).toEqual([]);
  results.found("a");
  results.found("a");
  expect(answers).toHaveLength(1);
  give(sends, answers[0]);
  await arrived;
  await failed;
  // The sender has forgotten this node since, and begins again.
  sends.forget("b");
  void sends.add("b", Infinity, () => undefined);
  give(sends, answers[0]);
  expect(sends.count).toBe(1);
});

it("a message of a node that stood still, and was lost by the recipient's alone, settles when it goes on", async () => {
  await simulate({ seed: 1 }, async (world) => {
    const nodes: ClusterNode[] = [];
    for (const name of ["a", "b"])
      await world.node(name).start(async () => {
        const made = new ClusterNode({ name, scope: "link", key: KEY });
        nodes.push(made);
        await made.start();
      });
    const [a, b] = nodes as [ClusterNode, ClusterNode];
    await world.until(() => a.members().length === 2 && b.members().length === 2, 2_000);
    // The links are idle, and close.
    await world.advance(100_000);
    const states: string[] = [];
    for (const type of ["lost", "back"] as const) {
      a.events.on(type, () => void states.push(`a ${type}`));
      b.events.on(type, () => void states.push(`b ${type}`));
    }
    const settled = world.node("a").run(async () => {
      await a.sendTo(a.resolve("b@b")[0] as never, "x", { timeout: 60_000 });
      states.push("settled");
    });
    // The recipient's node has it, and dials to answer.
    await world.until(() => b.stats().messaging?.links.peers[0]?.state === "connecting", 100);
    world.node("a").stall();
    await world.until(() => states.length === 1, 10_000);
    world.node("a").resume();
    await world.until(() => states.length === 3, 2_000);
    expect(states).toEqual(["b lost", "b back", "settled"]);
    await settled;
  });
});
