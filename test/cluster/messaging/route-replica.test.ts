/** A copy of a node's routes, and what of it is handed on to others: only what is of one version, and without a gap. */
import { describe, expect, it } from "vitest";
import { MAX_SHAPES_OF_NODE } from "../../../src/cluster/messaging/bounds.js";
import {
  type Pull,
  Replica,
  ROUTE_LIMITS,
  RouteNumbers,
} from "../../../src/cluster/messaging/route-replica.js";
import { RouteTable } from "../../../src/cluster/messaging/route-table.js";
import {
  type Block,
  BlockKind,
  BlockWriter,
  decodeRouteItem,
  encodeBlockItem,
  Operation,
  RouteItem,
  SIGNATURE_BYTES,
} from "../../../src/cluster/messaging/route-wire.js";
import { SimpleStore } from "./route-world.js";

const ID = "0123456789abcdef".repeat(2);
const LIFE = 7;
const sign = (): Buffer => Buffer.alloc(SIGNATURE_BYTES);

function decoded(bytes: Buffer): Block {
  const item = decodeRouteItem(encodeBlockItem(false, false, bytes));
  if (item?.type !== RouteItem.BLOCK) throw new Error("no block");
  return item.block;
}

function block(kind: BlockKind, version: number, filters: readonly string[], part = 0, exact = 0): Block {
  const writer = new BlockWriter();
  for (const filter of filters) writer.add(Operation.ADD, filter);
  return decoded(writer.finish(kind, { id: ID, life: LIFE, version }, part, exact, sign));
}

const change = (version: number): Block => block(BlockKind.CHANGE, version, [`f/${version}`]);

function copy(): { replica: Replica; filters: () => ReadonlySet<string> } {
  const routes = new SimpleStore();
  const stores = { routes, topics: new SimpleStore(), subtopics: new SimpleStore() };
  const replica = new Replica(ID, LIFE, new RouteNumbers(stores, ROUTE_LIMITS));
  return { replica, filters: () => routes.byNumber.get(replica.set.number) ?? new Set() };
}

function begin(replica: Replica, base: number): Pull {
  const pull: Pull = {
    server: ID,
    isHurried: false,
    base: 0,
    set: undefined,
    next: 0,
    count: 0,
    bytes: 0,
    askedAt: 0,
    had: 0,
    left: 3,
    since: 0,
    deadline: 0,
  };
  replica.pull = pull;
  replica.beginSnapshot(pull, base);
  return pull;
}

/** Versions of the changes that another node gets which has `version`; `undefined`: it has to ask the node itself. */
function handedOn(replica: Replica, version: number, part = 0): readonly string[] | undefined {
  return replica
    .blocksFor(version, part, 100)
    ?.blocks.map((bytes) => decoded(Buffer.from(bytes)))
    .map((each) => (each.kind === BlockKind.CHANGE ? `${each.version}` : `${each.version}.${each.part}`));
}

describe("a copy of changes", () => {
  it("hands on those after a version, where it has all of them", () => {
    const { replica } = copy();
    for (let version = 1; version <= 4; version++) replica.change(change(version), true);
    expect(handedOn(replica, 1)).toEqual(["2", "3", "4"]);
    expect(handedOn(replica, 4)).toEqual([]);
    expect(handedOn(replica, 5)).toBeUndefined();
  });

  it("hands on nothing from before a change that was not kept: no history has a gap", () => {
    const { replica } = copy();
    replica.change(change(1), true);
    replica.change(change(2), false);
    replica.change(change(3), true);
    expect(handedOn(replica, 0)).toBeUndefined();
    expect(handedOn(replica, 1)).toBeUndefined();
    expect(handedOn(replica, 2)).toEqual(["3"]);
    // Nor where one is missing that was never here.
    replica.change(change(5), true);
    expect(handedOn(replica, 2)).toBeUndefined();
    expect(handedOn(replica, 4)).toEqual(["5"]);
  });
});

describe("a copy of a snapshot", () => {
  it("serves as it was until all of the snapshot is here, and hands nothing on meanwhile", () => {
    const { replica, filters } = copy();
    replica.change(change(1), true);
    const pull = begin(replica, 9);
    replica.part(pull, block(BlockKind.PART, 9, ["x"], 0, 9), true);
    expect([...filters()]).toEqual(["f/1"]);
    for (const [version, part] of [
      [0, 0],
      [1, 0],
      [8, 0],
      [9, 1],
    ] as const)
      expect(handedOn(replica, version, part)).toBeUndefined();
    replica.part(pull, block(BlockKind.LAST_PART, 9, ["y"], 1, 9), true);
    expect([...filters()]).toEqual(["x", "y"]);
    replica.endPull();
    expect(handedOn(replica, 1)).toEqual(["9.0", "9.1"]);
    expect(handedOn(replica, 9, 1)).toEqual(["9.1"]);
    replica.change(change(10), true);
    expect(handedOn(replica, 0)).toEqual(["9.0", "9.1", "10"]);
    expect(handedOn(replica, 9)).toEqual(["10"]);
  });

  it("is not handed on to one that is ahead of it", () => {
    const { replica } = copy();
    const pull = begin(replica, 9);
    replica.part(pull, block(BlockKind.LAST_PART, 9, ["x"], 0, 9), true);
    replica.endPull();
    expect(handedOn(replica, 10)).toBeUndefined();
  });

  it("that was read while it changed is handed on once the changes since are here, and then without the parts", () => {
    const { replica } = copy();
    const pull = begin(replica, 9);
    replica.part(pull, block(BlockKind.PART, 9, ["x"], 0, 10), true);
    replica.part(pull, block(BlockKind.LAST_PART, 9, ["y"], 1, 11), true);
    replica.endPull();
    const nothing = (): void => {
      for (const version of [0, 8, 9, 10, 11]) expect(handedOn(replica, version)).toBeUndefined();
    };
    nothing();
    replica.change(change(10), true);
    nothing();
    replica.change(change(11), true);
    expect(handedOn(replica, 0)).toBeUndefined();
    expect(handedOn(replica, 8)).toBeUndefined();
    expect(handedOn(replica, 9)).toEqual(["10", "11"]);
  });

  it("that is given up leaves nothing", () => {
    const { replica, filters } = copy();
    const pull = begin(replica, 9);
    replica.part(pull, block(BlockKind.PART, 9, ["x"], 0, 9), true);
    expect([...filters()]).toEqual(["x"]);
    replica.endPull();
    expect([...filters()]).toEqual([]);
    expect(replica.version).toBe(0);
    expect(handedOn(replica, 9, 1)).toBeUndefined();
  });
});

describe("a copy of which routes were left out for those of others", () => {
  /** With room for six routes, four of which another node has. */
  function short() {
    const routes = new SimpleStore();
    const stores = { routes, topics: new SimpleStore(), subtopics: new SimpleStore() };
    const numbers = new RouteNumbers(stores, { ...ROUTE_LIMITS, routes: 6 });
    const other = new Replica("f".repeat(32), 1, numbers);
    other.change(block(BlockKind.CHANGE, 1, ["1", "2", "3", "4"]), false);
    const replica = new Replica(ID, LIFE, numbers);
    replica.isActive = true;
    replica.change(block(BlockKind.CHANGE, 1, ["a", "b"]), true);
    replica.change(block(BlockKind.CHANGE, 2, ["c"]), true);
    const filters = () => [...(routes.byNumber.get(replica.set.number) ?? [])];
    return { routes, numbers, other, replica, filters };
  }

  it("is fetched again once there is room, and serves meanwhile", () => {
    const { numbers, other, replica, filters } = short();
    expect(filters()).toEqual(["a", "b"]);
    expect(numbers.refused).toEqual({ "routes:all": 1 });
    expect(replica.mayRefill(0)).toBe(false);
    other.end();
    expect(replica.mayRefill(0)).toBe(true);
    replica.refill(0);
    expect(replica.version).toBe(0);
    expect(replica.mayRefill(1e9)).toBe(false);
    for (const version of [0, 1, 2]) expect(handedOn(replica, version)).toBeUndefined();
    replica.change(block(BlockKind.CHANGE, 1, ["a", "b"]), true);
    expect(filters()).toEqual(["a", "b"]);
    expect(numbers.ownerOf(replica.set.number)).toBe(ID);
    replica.change(block(BlockKind.CHANGE, 2, ["c"]), true);
    expect(filters()).toEqual(["a", "b", "c"]);
    expect(numbers.ownerOf(replica.set.number)).toBe(ID);
    expect(replica.mayRefill(1e9)).toBe(false);
    expect(handedOn(replica, 1)).toEqual(["2"]);
    expect(numbers.routes).toBe(3);
    replica.end();
    expect([numbers.routes, numbers.bytes]).toEqual([0, 0]);
  });

  it("serves until a snapshot and the changes since have all that was there", () => {
    const { routes, numbers, other, replica, filters } = short();
    other.end();
    replica.refill(0);
    // What is read of changes is given up for the snapshot.
    replica.change(block(BlockKind.CHANGE, 1, ["b", "gone"]), false);
    let pull = begin(replica, 2);
    replica.part(pull, block(BlockKind.PART, 2, ["x"], 0, 2), false);
    replica.endPull();
    expect(filters()).toEqual(["a", "b"]);
    pull = begin(replica, 1);
    replica.part(pull, block(BlockKind.LAST_PART, 1, ["a", "b"], 0, 1), false);
    replica.endPull();
    expect(filters()).toEqual(["a", "b"]);
    expect(handedOn(replica, 1)).toBeUndefined();
    replica.change(block(BlockKind.CHANGE, 2, ["c"]), false);
    expect(filters()).toEqual(["a", "b", "c"]);
    expect([replica.version, numbers.routes]).toEqual([2, 3]);
    replica.end();
    expect([numbers.routes, numbers.bytes]).toEqual([0, 0]);
    expect([...routes.byNumber.values()].every(({ size }) => size === 0)).toBe(true);
  });

  it("leaves nothing where its node goes meanwhile", () => {
    const { routes, numbers, other, replica } = short();
    other.end();
    replica.refill(0);
    replica.change(block(BlockKind.CHANGE, 1, ["a", "b"]), true);
    replica.end();
    expect([numbers.routes, numbers.bytes]).toEqual([0, 0]);
    expect([...routes.byNumber.values()].every(({ size }) => size === 0)).toBe(true);
  });

  it("is fetched less and less often where there is never enough room", () => {
    const { routes, other, replica } = short();
    other.end();
    routes.addBytes = () => "shapes";
    const times: number[] = [];
    for (let now = 0; now < 400_000; now += 1_000) {
      if (!replica.mayRefill(now)) continue;
      times.push(now);
      replica.refill(now);
      routes.isFull = true;
      replica.change(block(BlockKind.CHANGE, 2, ["a", "b", "c"]), false);
      routes.isFull = false;
    }
    expect(times).toEqual([0, 10_000, 30_000, 70_000, 150_000, 310_000]);
  });

  it("is not fetched again for what a node has too much of itself", () => {
    const { routes, numbers, other, replica } = short();
    other.end();
    replica.refill(0);
    routes.addBytes = () => "shapes";
    replica.change(block(BlockKind.CHANGE, 2, ["a", "b", "c"]), false);
    expect(numbers.refused["filter:shapes"]).toBe(3);
    expect(replica.mayRefill(1e9)).toBe(false);
  });

  it("has a shape of its own however many lives that are gone had, and once one of those that have too many is gone", () => {
    const table = new RouteTable();
    for (let i = 0; i < 200_000; i++) table.add(`of/${i}`, 60_000);
    const stores = { routes: table, topics: new SimpleStore(), subtopics: new SimpleStore() };
    const numbers = new RouteNumbers(stores, ROUTE_LIMITS);
    const shape = (i: number): string => [...i.toString(2).padStart(13, "0").replaceAll("1", "+")].join("/");
    const live = (life: number): Replica => {
      const evil = new Replica("e".repeat(32), life, numbers);
      const filters = Array.from({ length: MAX_SHAPES_OF_NODE }, (_, i) =>
        shape(MAX_SHAPES_OF_NODE * life + i),
      );
      evil.change(block(BlockKind.CHANGE, 1, filters), false);
      return evil;
    };
    // Six lives have more shapes than all nodes may, and few of them are swept out meanwhile.
    for (let life = 0; life < 6; life++) live(life).end();
    expect(table.unswept).toBeGreaterThan(0);
    const replica = new Replica(ID, LIFE, numbers);
    const filter = "a/+/shape/of/its/own";
    replica.change(block(BlockKind.CHANGE, 1, ["a/+"]), false);
    expect(table.has("a/+", replica.set.number)).toBe(true);
    expect(numbers.refused).toEqual({});
    // Four that are there are as many as there may be.
    const [first] = [0, 1, 2, 3].map(live);
    replica.change(block(BlockKind.CHANGE, 2, [filter]), false);
    expect(table.has(filter, replica.set.number)).toBe(false);
    expect(replica.mayRefill(0)).toBe(false);
    first?.end();
    expect(replica.mayRefill(0)).toBe(true);
    replica.refill(0);
    replica.change(block(BlockKind.CHANGE, 1, ["a/+"]), false);
    replica.change(block(BlockKind.CHANGE, 2, [filter]), false);
    expect(table.has(filter, replica.set.number)).toBe(true);
    expect(replica.mayRefill(1e9)).toBe(false);
  });
});
