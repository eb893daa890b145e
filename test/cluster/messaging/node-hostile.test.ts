/** An admitted but evil node, over real links: what it sends as it is. All is refused by reason, and the others go on. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { ClusterNode } from "../../../src/cluster/index.js";
import { MAX_SHAPES_OF_NODE } from "../../../src/cluster/messaging/bounds.js";
import { NodeLinks } from "../../../src/cluster/messaging/links.js";
import { MessageKind } from "../../../src/cluster/messaging/parts.js";
import { RouteDriver } from "../../../src/cluster/messaging/route-driver.js";
import { RouteChangesWriter } from "../../../src/cluster/messaging/route-wire.js";
import { LONG } from "../../support/long.js";
import { freePort } from "../../support/ports.js";
import { testNodes } from "../nodes.js";

/** Blocks of 200 routes. */
const FLOOD = LONG ? 5_000 : 300;
const PORT = await freePort();
const { nodes, started } = testNodes(() => ({
  group: `hostile-${process.pid}`,
  multicast: { port: PORT },
  registry: false,
}));

afterEach(() => void vi.restoreAllMocks());

interface Evil {
  readonly node: ClusterNode;
  /** Sends an item as it is. */
  send(to: ClusterNode, kind: number, item: Uint8Array): Promise<void>;
  /** States a change of its own interest to a node, always the same one. @param isNew whether its version is the next one */
  state(to: ClusterNode, filters: readonly string[], isNew?: boolean): Promise<void>;
}

/** Two nodes and an evil one that have met; the evil one's own interest has version 1. */
async function begin(): Promise<{ a: ClusterNode; b: ClusterNode; evil: Evil }> {
  const links = vi.spyOn(NodeLinks.prototype, "start");
  const routes = vi.spyOn(RouteDriver.prototype, "subscribe");
  const a = await started("a");
  const b = await started("b");
  const node = await started("evil");
  const ownLinks = links.mock.contexts.at(-1) as NodeLinks;
  const all = (): boolean => nodes.every((each) => each.resolve().length === 3);
  await expect.poll(all, { timeout: 10_000 }).toBe(true);
  await node.subscribe("evil").ready;
  const driver = routes.mock.contexts.at(-1) as RouteDriver;
  await expect.poll(() => [a, b].map((each) => each.stats().messaging?.routes.routes)).toEqual([1, 1]);
  const send = async (to: ClusterNode, kind: number, item: Uint8Array): Promise<void> => {
    for (;;) {
      const result = ownLinks.send(to.id, kind, item);
      if (result === "sent") return;
      if (result !== "full") throw new Error(result);
      await ownLinks.room(to.id);
    }
  };
  let version = 1;
  const state = (to: ClusterNode, filters: readonly string[], isNew = true): Promise<void> => {
    // Its own list is nobody's any more.
    driver.close();
    const writer = new RouteChangesWriter();
    for (const filter of filters) writer.add(filter, true);
    const item = writer.delta(isNew ? version : 0);
    if (isNew) version += filters.length;
    return send(to, MessageKind.ROUTES, item);
  };
  return { a, b, evil: { node, send, state } };
}

const stats = (node: ClusterNode) =>
  node.stats().messaging as NonNullable<ReturnType<ClusterNode["stats"]>["messaging"]>;

/** Two honest nodes reach each other all the time. @returns ends it */
async function traffic(a: ClusterNode, b: ClusterNode): Promise<() => Promise<void>> {
  const got: number[] = [];
  const subscription = b.subscribe("honest/+", { each: true }, ({ data }) => void got.push(Number(data)));
  await subscription.ready;
  let next = 0;
  let ends = false;
  const loop = (async () => {
    while (!ends) {
      // Topics that have not been looked up: each is matched.
      await a.publish(`honest/${next}`, `${next++}`, { onFull: "wait" });
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  return async () => {
    ends = true;
    await loop;
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(next);
    expect(got).toEqual(Array.from({ length: next }, (_, i) => i));
  };
}

describe("an admitted but evil node", () => {
  test(
    "states interest in millions of places: bounded, refused by reason, and gone with it; others go on meanwhile",
    async () => {
      const { a, b, evil } = await begin();
      const over = await traffic(a, b);
      const bad = [
        "x".repeat(65_536),
        "/".repeat(128),
        `${"/".repeat(60_000)}`,
        "a+",
        "a/#/b",
        "$share/g/t",
        "\0",
        "",
      ];
      await evil.state(a, bad.slice(0, 1));
      await evil.state(a, bad.slice(1));
      // A flood of changes, and others under versions that were there.
      for (let i = 0; i < FLOOD; i++) {
        await evil.state(
          a,
          Array.from({ length: 200 }, (_, n) => `flood/${i}/${n}`),
        );
        await evil.state(a, ["flood/again"], false);
      }
      const shape = (i: number): string =>
        [...i.toString(2).padStart(12, "0").replaceAll("1", "+")].join("/");
      for (let i = 0; i < 2_000; i += 100)
        await evil.state(
          a,
          Array.from({ length: 100 }, (_, n) => shape(i + n)),
        );
      await evil.send(a, 99, Buffer.from([1]));
      await expect.poll(() => stats(a).links.refused.kind, { timeout: LONG ? 600_000 : 20_000 }).toBe(1);
      const { routes } = stats(a);
      expect(routes.refused).toMatchObject({
        "filter:long": 1,
        "filter:deep": 2,
        "filter:wildcard": 2,
        "filter:share": 1,
        "filter:nul": 1,
        "filter:empty": 1,
      });
      // What it stated before has shapes, too.
      const refused = routes.refused["filter:shapes"] as number;
      expect(refused - (2_000 - MAX_SHAPES_OF_NODE)).toBeGreaterThan(0);
      expect(refused - (2_000 - MAX_SHAPES_OF_NODE)).toBeLessThan(3);
      // One of b, and its own first one.
      expect(routes.routes).toBe(2 + 200 * FLOOD + 2_000 - refused);
      await over();
      // b, which was not lied to, has one route of it, and a has none when it is gone.
      expect(stats(b).routes.routes).toBe(1);
      await evil.node.leave();
      await expect.poll(() => stats(a).routes.routes, { timeout: 10_000 }).toBe(1);
      expect(await a.publish("flood/1/1", "", { self: false })).toBe(0);
    },
    LONG ? 900_000 : 60_000,
  );
});
