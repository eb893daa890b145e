/** An admitted but evil node, over real links: what it sends as it is. All is refused by reason, and the others go on. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { MAX_SHAPES_OF_NODE } from "../../../src/cluster/messaging/bounds.js";
import { encodeDirect, encodeName, encodePublish } from "../../../src/cluster/messaging/items.js";
import { NodeLinks } from "../../../src/cluster/messaging/links.js";
import { MessageKind } from "../../../src/cluster/messaging/parts.js";
import { RouteDriver } from "../../../src/cluster/messaging/route-driver.js";
import { RouteChangesWriter } from "../../../src/cluster/messaging/route-wire.js";
import { encodeService, ServiceOp } from "../../../src/cluster/messaging/service-wire.js";
import { LONG } from "../../support/long.js";
import { freePort } from "../../support/ports.js";

/** Blocks of 200 routes. */
const FLOOD = LONG ? 5_000 : 300;
const PORT = await freePort();
const nodes: ClusterNode[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  await Promise.all(nodes.splice(0).map((node) => node.close({ linger: 0 })));
});

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
  const create = async (name: string): Promise<ClusterNode> => {
    const node = new ClusterNode({
      name,
      group: `hostile-${process.pid}`,
      multicast: { port: PORT },
      registry: false,
    });
    nodes.push(node);
    await node.start();
    return node;
  };
  const a = await create("a");
  const b = await create("b");
  const node = await create("evil");
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

function promised<T>(): [Promise<T>, (value: T) => void] {
  let settle!: (value: T) => void;
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return [promise, settle];
}

describe("an admitted but evil node", () => {
  test("publishes to topics of a million levels, of 64 KiB, and with wildcards", async () => {
    const { a, b, evil } = await begin();
    const got: string[] = [];
    for (const filter of ["#", "+/#"]) a.subscribe(filter, ({ topic }) => void got.push(topic));
    const over = await traffic(b, a);
    const items = [
      "/".repeat(1_000_000),
      "x".repeat(65_536),
      "/".repeat(128),
      "a/+",
      "#",
      "",
      "\0",
      "self",
    ].map((topic) => encodePublish(1, encodeName(topic), undefined, 0, "x"));
    for (let i = 0; i < 20; i++) for (const item of items) await evil.send(a, MessageKind.PUBLISH, item);
    await evil.send(a, 99, Buffer.from([1]));
    await expect.poll(() => stats(a).links.refused.kind, { timeout: 20_000 }).toBe(1);
    expect(stats(a).refused).toMatchObject({
      "publish:malformed": 60,
      "publish:topic": 100,
    });
    await over();
    expect(got.filter((topic) => !topic.startsWith("honest/"))).toEqual([]);
    // The longest and the deepest topic that there may be come all the same, over the same link.
    const allowed = ["x".repeat(65_535), "/".repeat(127)];
    for (const topic of allowed) expect(await evil.node.publish(topic, "")).toBeGreaterThan(0);
    await expect.poll(() => allowed.every((topic) => got.includes(topic))).toBe(true);
  }, 60_000);

  test("answers what others were asked, in their names, and sends to and from numbers that are not its own", async () => {
    const { a, b, evil } = await begin();
    const over = await traffic(a, b);
    const service = (op: ServiceOp, id: number, ruid: string, data: string): Promise<void> =>
      evil.send(a, MessageKind.SERVICE, encodeService({ op, id, ruid, channel: 0, data }));
    const [asked, isAsked] = promised<void>();
    const [free, goOn] = promised<void>();
    b.onQuery(async ({ data }) => {
      isAsked();
      await free;
      return `b: ${data}`;
    });
    let number = 0;
    evil.node.onQuery(({ ruid }) => {
      number = Number(ruid);
      return "evil";
    });
    // Numbers follow each other, so it knows those of the next queries.
    await a.query({ services: [evil.node.id] }).collect();
    const first = number;
    const ofB = a.query({ services: [b.id], data: "1" });
    await asked;
    for (const [ruid, data] of [
      ["", "forged"],
      [String(first + 1), "forged"],
    ] as const) {
      await service(ServiceOp.REPLY, first + 1, ruid, data);
      await service(ServiceOp.FAILURE, first + 1, "handler-failed", data);
    }
    // Of a query that has ended, and of one that nobody made.
    await service(ServiceOp.REPLY, first, "", "late");
    await service(ServiceOp.REPLY, first + 1_000, "", "early");
    await service(ServiceOp.NOTICE, 0, String(first + 1), "vetoed");
    await service(6 as number as ServiceOp, first + 1, "", "");
    // Its own reply counts as its own, whatever it is labelled; a second one does not.
    const ofBoth = a.query({ services: [b.id, evil.node.id], data: "2" });
    await expect.poll(() => number).toBe(first + 2);
    await service(ServiceOp.REPLY, number, String(first + 1), "second");
    await expect.poll(() => a.stats().services?.refused["service:double"]).toBe(1);
    goOn();
    expect(await ofB.collect()).toMatchObject({ replies: [{ data: "b: 1" }], failed: [], missing: [] });
    const both = await ofBoth.collect();
    expect(new Map(both.replies.map(({ service: { id }, data }) => [id, data]))).toEqual(
      new Map([
        [b.id, "b: 2"],
        [evil.node.id, "evil"],
      ]),
    );
    expect(a.stats().services?.refused).toEqual({
      "service:foreign": 5,
      "service:late": 1,
      "service:op": 1,
      "service:double": 1,
    });

    const alias = a.addressOf(b.id);
    const got: string[] = [];
    a.subscribe("self", ({ data }) => void got.push(String(data)));
    // To the alias that stands for b here, to nobody; from an alias, from nobody.
    for (const to of [alias.id, 0, 77])
      await evil.send(a, MessageKind.DIRECT, encodeDirect(to, 1, undefined, "x"));
    for (const from of [alias.id, 0])
      await evil.send(a, MessageKind.DIRECT, encodeDirect(1, from, undefined, "x"));
    const name = encodeName("self");
    await evil.send(a, MessageKind.PUBLISH, encodePublish(1, name, undefined, 0, "x"));
    // An alias of a topic that it has not defined.
    await evil.send(a, MessageKind.PUBLISH, Buffer.from([16, 5, 1]));
    await expect.poll(() => stats(a).refused["publish:alias"], { timeout: 20_000 }).toBe(1);
    expect(stats(a).refused).toEqual({
      "direct:closed": 3,
      "direct:malformed": 2,
      "publish:topic": 1,
      "publish:alias": 1,
    });
    const [reached, isReached] = promised<string>();
    b.subscribe("self", ({ data }) => isReached(String(data)));
    await a.sendTo(alias, "to b");
    expect(await reached).toBe("to b");
    expect(got).toEqual([]);
    await over();
  }, 60_000);

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
