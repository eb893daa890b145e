import { describe, expect, it } from "vitest";
import { MAX_SHAPES, MAX_SHAPES_OF_NODE } from "../../../src/cluster/messaging/bounds.js";
import { type RouteNode, RouteTable } from "../../../src/cluster/messaging/route-table.js";
import { TopicScan } from "../../../src/cluster/messaging/topic-scan.js";
import { matches } from "../../../src/cluster/messaging/topics.js";
import { LONG } from "../../support/long.js";
import fc from "../../support/properties.js";

const RUNS = { numRuns: 10_000, defaultRuns: 60 };

/** A table whose nodes have numbers of the test's. */
class NumberedTable extends RouteTable {
  readonly #nodes = new Map<number, RouteNode>();

  /** Takes nodes up to a number, which they have in the records, too. */
  reserve(most: number): this {
    for (let number = 0; number <= most; number++) this.#nodeOf(number);
    return this;
  }

  #nodeOf(node: RouteNode | number): RouteNode {
    if (typeof node !== "number") return node;
    const known = this.#nodes.get(node) ?? this.takeNode();
    known.owner = `${node}`;
    this.#nodes.set(node, known);
    return known;
  }

  override add(filter: string, node: RouteNode | number) {
    return super.add(filter, this.#nodeOf(node));
  }

  override delete(filter: string, node: RouteNode | number) {
    return super.delete(filter, this.#nodeOf(node));
  }

  override deleteNode(node: RouteNode | number) {
    super.deleteNode(this.#nodeOf(node));
    if (typeof node === "number") this.#nodes.delete(node);
  }
}

function match(table: NumberedTable, topic: string): number[] {
  const found: string[] = [];
  table.match(topic, found);
  return found.map(Number).sort((one, other) => one - other);
}

function filtersOf(table: NumberedTable, node: number): string[] {
  const routes = table.list(Number.POSITIVE_INFINITY);
  return routes.flatMap(({ filter, nodes }) => (nodes.includes(`${node}`) ? [filter] : [])).sort();
}

/** The same, slowly. */
class Model {
  readonly routes = new Map<string, Set<number>>();

  match(topic: string): number[] {
    const nodes = [...this.routes].flatMap(([filter, of]) => (matches(filter, topic) ? [...of] : []));
    return [...new Set(nodes)].sort((one, other) => one - other);
  }

  get bytes(): number {
    return [...this.routes].reduce((sum, [filter, of]) => sum + of.size * Buffer.byteLength(filter), 0);
  }

  filtersOf(node: number): string[] {
    return [...this.routes].flatMap(([filter, nodes]) => (nodes.has(node) ? [filter] : [])).sort();
  }
}

/** Counts the records that are read to be moved or deleted: what a change costs beyond its own filter. */
class CountingScan extends TopicScan {
  records = 0;

  override record(bytes: Uint8Array, start: number, end: number): void {
    super.record(bytes, start, end);
    this.records += 1;
  }
}

/** Hashes of two bits: nearly everything has the hash of something else. */
class WeakScan extends TopicScan {
  override topic(text: string) {
    const fault = super.topic(text);
    this.#weaken();
    return fault;
  }

  override filter(text: string) {
    const fault = super.filter(text);
    this.#weaken();
    return fault;
  }

  override record(bytes: Uint8Array, start: number, end: number) {
    super.record(bytes, start, end);
    this.#weaken();
  }

  #weaken(): void {
    for (let level = 0; level < this.levels; level++) {
      const hash = this.hashes[level] as number;
      if (hash !== this.plusHash && hash !== this.tailHash) this.hashes[level] = hash & 3;
    }
  }
}

describe("the route table", () => {
  it.each<[result: string, filter: unknown]>([
    ["type", undefined],
    ["type", 7],
    ["surrogate", "a/\ud800"],
    ["empty", ""],
    ["long", "a".repeat(65_536)],
    ["added", "a".repeat(65_535)],
    ["long", "é".repeat(32_768)],
    ["added", "é".repeat(32_767)],
    ["long", "x/".repeat(1_000_000)],
    ["deep", "/".repeat(128)],
    ["added", "/".repeat(127)],
    ["nul", "a\0b"],
    ["nul", "\0"],
    ["wildcard", "a+/b"],
    ["wildcard", "a/#/b"],
    ["wildcard", "a#"],
    ["wildcard", "é/+b"],
    ["added", "a/+/#"],
    ["added", "#"],
    ["share", "$share/a/b"],
    ["share", "$share"],
    ["added", "$shared/é"],
    ["added", "$SYS/+"],
  ])("has a filter, or refuses it and throws nothing: %s (%#)", (result, given) => {
    const filter = given as string;
    const table = new NumberedTable();
    table.add("a", 3);
    expect(table.add(filter, 3)).toBe(result);
    if (result === "added") {
      expect(table.add(filter, 3)).toBe("known");
      expect(filtersOf(table, 3)).toEqual([filter, "a"].sort());
      return;
    }
    expect(table.delete(filter, 3)).toBe(false);
    expect([filtersOf(table, 3), table.size]).toEqual([["a"], 1]);
    if (result !== "share") expect(match(table, filter)).toEqual([]);
  });

  const level = fc.constantFrom("", "a", "b", "ab", "é", "$x", "long-".repeat(30));
  const topic = fc
    .array(level, { minLength: 1, maxLength: 4 })
    .map((levels) => levels.join("/"))
    .filter((text) => text !== "");
  const filter = fc
    .tuple(
      fc.array(fc.oneof({ weight: 3, arbitrary: level }, fc.constant("+")), { minLength: 1, maxLength: 4 }),
      fc.boolean(),
    )
    .map(([levels, tail]) => [...levels, ...(tail ? ["#"] : [])].join("/"))
    .filter((text) => text !== "");
  // Numbers on both sides of a word's and of a list's room.
  const node = fc.constantFrom(0, 1, 2, 3, 31, 32, 63, 64, 200, 3_000);
  const added = fc.record({ kind: fc.constant("add" as const), filter, node });
  const step = fc.oneof(
    { weight: 8, arbitrary: added },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("delete" as const), filter, node }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("deleteNode" as const), node }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("sweep" as const) }) },
  );

  it.each([
    ["by the rules", () => new NumberedTable().reserve(3_000)],
    ["where hashes collide", () => new NumberedTable(new WeakScan()).reserve(3_000)],
  ])("is what a slow one is, whatever is added and deleted, %s", (_how, create) => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 120 }),
        fc.array(topic, { minLength: 1, maxLength: 5 }),
        (steps, topics) => {
          const table = create();
          const model = new Model();
          let size = 0;
          for (const each of steps) {
            if (each.kind === "sweep") {
              table.sweep();
            } else if (each.kind === "deleteNode") {
              const filters = model.filtersOf(each.node);
              table.deleteNode(each.node);
              for (const nodes of model.routes.values()) nodes.delete(each.node);
              size -= filters.length;
            } else {
              const nodes = model.routes.get(each.filter) ?? new Set();
              model.routes.set(each.filter, nodes);
              const known = nodes.has(each.node);
              if (each.kind === "add") {
                expect(table.add(each.filter, each.node)).toBe(known ? "known" : "added");
                nodes.add(each.node);
                size += known ? 0 : 1;
              } else {
                expect(table.delete(each.filter, each.node)).toBe(known);
                nodes.delete(each.node);
                size -= known ? 1 : 0;
              }
            }
            expect(table.size).toBe(size);
            expect(table.filterBytes).toBe(model.bytes);
          }
          for (const each of topics) expect(match(table, each)).toEqual(model.match(each));
          for (const each of [0, 31, 3_000]) expect(filtersOf(table, each)).toEqual(model.filtersOf(each));
          while (table.sweep());
          expect(table.filters).toBe([...model.routes.values()].filter((nodes) => nodes.size > 0).length);
        },
      ),
      RUNS,
    );
  });

  it("finds each of many, and gives the memory of deleted ones to others", () => {
    const table = new NumberedTable();
    const count = LONG ? 20_000 : 4_000;
    let most = 0;
    for (let round = 0; round < 6; round++) {
      // Of another length each time: what fits one does not fit the next.
      const name = (i: number) => `${"x".repeat(1 + 40 * round)}/${i}/${round % 2 === 0 ? "+" : "v"}`;
      for (let i = 0; i < count; i++) if (table.add(name(i), i % 3) !== "added") expect.unreachable();
      expect(table.size).toBe(count);
      for (let i = 0; i < count; i += 97) expect(match(table, name(i).replace("+", "w"))).toEqual([i % 3]);
      most = Math.max(most, table.bytes() / (name(count).length * count));
      for (let i = 0; i < count; i++) if (!table.delete(name(i), i % 3)) expect.unreachable();
      expect([table.size, table.filters]).toEqual([0, 0]);
      expect(match(table, name(1).replace("+", "w"))).toEqual([]);
    }
    expect(most).toBeLessThan(10);
    // The last round's places, and an arena without records.
    expect(table.bytes()).toBeLessThan(1_700_000);
  });

  it("takes a large node out of the records, and moves what lives, in short steps", () => {
    const scan = new CountingScan();
    const table = new NumberedTable(scan);
    let most = 0;
    const counted = (call: () => unknown): void => {
      scan.records = 0;
      call();
      most = Math.max(most, scan.records);
    };
    const count = LONG ? 100_000 : 40_000;
    for (let i = 0; i < count; i++) table.add(`of/one/${i}`, 1);
    for (let i = 0; i < count / 2; i++) table.add(`of/another/${i}`, 2);
    const full = table.bytes();
    table.deleteNode(1);
    for (let i = 0; i < count; i++) counted(() => table.add(`of/one/${i}/again`, 1));
    // A step of a sweep: a segment's places, and what is moved after it.
    expect(most).toBeLessThan(1_200);
    expect(filtersOf(table, 1)).toHaveLength(count);
    expect(table.filters).toBe(1.5 * count);
    expect(table.bytes()).toBeLessThan(1.6 * full);
    most = 0;
    for (let i = 0; i < count; i++) counted(() => table.delete(`of/one/${i}/again`, 1));
    expect(most).toBeLessThanOrEqual(4);
    expect(table.filters).toBe(count / 2);
    expect(match(table, "of/another/7")).toEqual([2]);
  });

  it("gives up the records of lives that follow each other fast, before they are many times those that count", () => {
    const table = new NumberedTable(undefined, 4_000);
    for (let i = 0; i < 20_000; i++) table.add(`of/another/${i}`, 2);
    let most = 0;
    for (let life = 0; life < (LONG ? 40 : 20); life++) {
      for (let i = 0; i < 2_000; i++) table.add(`of/one/${life}/${i}`, 1);
      table.deleteNode(1);
      most = Math.max(most, table.unswept);
    }
    // With steps that are eight times as rare it is all of them.
    expect(most).toBeLessThan(12_000);
    while (table.sweep());
    expect([table.unswept, table.filters]).toEqual([0, 20_000]);
  });

  it.runIf(LONG)("takes many nodes out of the records in the time that a few take", () => {
    const took = (call: () => void): number => {
      const begun = performance.now();
      call();
      return performance.now() - begun;
    };
    const table = new NumberedTable();
    const count = 100_000;
    const filling = took(() => {
      for (let i = 0; i < count; i++) table.add(`of/another/${i}`, 2);
    });
    for (let life = 0; life < 30_000; life++) {
      table.add(`of/another/${life}`, 1);
      table.deleteNode(1);
    }
    expect(table.unswept).toBeGreaterThan(20_000);
    // A look at each record for each node that is gone takes more than a hundred times as long.
    const sweeping = took(() => {
      while (table.sweep());
    });
    expect(sweeping).toBeLessThan(20 * filling);
    expect([table.unswept, table.filters, table.size]).toEqual([0, count, count]);
    expect(match(table, "of/another/7")).toEqual([2]);
  });

  it("refuses what is of a further node while all numbers are used or not swept out yet, in short steps", () => {
    const scan = new CountingScan();
    const table = new NumberedTable(scan);
    const count = LONG ? 300_000 : 100_000;
    for (let i = 0; i < count; i++) table.add(`of/another/${i}`, 2);
    const results = new Map<string, number>();
    let most = 0;
    for (let life = 0; life < 33_500; life++) {
      scan.records = 0;
      const result = table.add(`of/one/${life}`, 1);
      most = Math.max(most, scan.records);
      results.set(result, (results.get(result) ?? 0) + 1);
      table.deleteNode(1);
    }
    expect(results.get("numbers")).toBeGreaterThan(0);
    expect(results.get("added")).toBeGreaterThan(32_000);
    expect([...results.keys()]).toHaveLength(2);
    expect(most).toBeLessThan(1_200);
    expect(filtersOf(table, 1)).toEqual([]);
    // Others go on as before.
    expect(table.add("of/another/more", 2)).toBe("added");
    expect(match(table, "of/another/more")).toEqual([2]);
    while (table.sweep());
    expect(table.add("of/one/again", 1)).toBe("added");
    expect(table.filters).toBe(count + 2);
  });

  it("lists filters with their nodes, those that match a topic, so many at most, none of a node that is gone", () => {
    const table = new NumberedTable();
    for (let i = 0; i < 3_000; i++) table.add(`t/${i}`, i % 2);
    for (const node of [5, 1]) table.add("t/+", node);
    expect(table.list(10_000)).toHaveLength(3_001);
    expect(table.list(7)).toHaveLength(7);
    const nodesOf = (topic: string) =>
      table
        .list(100, topic)
        .map(({ filter, nodes }) => `${filter} ${[...nodes].sort()}`)
        .sort();
    expect(nodesOf("t/8")).toEqual(["t/+ 1,5", "t/8 0"]);
    table.deleteNode(0);
    expect(nodesOf("t/8")).toEqual(["t/+ 1,5"]);
    expect(table.list(10_000)).toHaveLength(1_501);
    expect(table.list(10, "t/+")).toEqual([]);
  });

  it("takes of a node so many shapes of filters, and other nodes' still", () => {
    const table = new NumberedTable();
    const shape = (i: number) =>
      `${i.toString(2).padStart(13, "0").replaceAll("1", "+")}/x`.split("").join("/");
    for (let i = 0; i < MAX_SHAPES_OF_NODE; i++) expect(table.add(shape(i), 1)).toBe("added");
    expect(table.add(shape(MAX_SHAPES_OF_NODE), 1)).toBe("shapes");
    expect(table.add("one/more", 1)).toBe("shapes");
    // A filter of a shape that it has is welcome.
    expect(table.add(shape(0).replace("0", "1"), 1)).toBe("added");
    expect(table.add("one/more", 2)).toBe("added");
    expect(match(table, "one/more")).toEqual([2]);
    for (let i = 1; i < MAX_SHAPES; i++) table.add(shape(i), 2 + (i >>> 9));
    expect(table.add("a/shape/of/its/own", 50)).toBe("shapes");
    expect(filtersOf(table, 50)).toEqual([]);
    expect(table.delete("one/more", 2)).toBe(true);
    expect(table.add("a/shape/of/its/own", 50)).toBe("added");
    // Those of a node that goes are free again.
    for (let node = 1; node < 10; node++) table.deleteNode(node);
    while (table.sweep());
    expect(table.add("a/b", 1)).toBe("added");
  });

  it("takes the shapes of nodes that follow each other, however many were of those that are not swept out yet", () => {
    const table = new NumberedTable();
    const shape = (i: number) => i.toString(2).padStart(14, "0").replaceAll("1", "+").split("").join("/");
    const topic = Array(14).fill("0").join("/");
    table.add(shape(0), 9);
    const each = MAX_SHAPES / 4;
    let next = 1;
    for (let life = 0; life < 3; life++) {
      for (let node = 1; node <= 4; node++)
        for (let i = 1; i < each; i++) if (table.add(shape(next++), node) !== "added") expect.unreachable();
      expect(match(table, topic)).toEqual([1, 2, 3, 4, 9]);
      for (let node = 1; node <= 4; node++) table.deleteNode(node);
      expect(table.unswept).toBeGreaterThan(0);
      expect(match(table, topic)).toEqual([9]);
    }
    // Filters whose records are still there count as new ones do.
    const last = shape(next - 1);
    expect(table.add(last, 2)).toBe("added");
    expect(match(table, topic)).toEqual([2, 9]);
    while (table.sweep());
    expect([table.filters, table.unswept]).toEqual([2, 0]);
    expect(match(table, topic)).toEqual([2, 9]);
    expect(table.delete(last, 2)).toBe(true);
    expect(match(table, topic)).toEqual([9]);
    // Of those that are there, the bound is what it was.
    for (let node = 10; node < 14; node++)
      for (let i = 0; i < each; i++) table.add(shape((node - 10) * each + i), node);
    expect(table.add("one/more", 15)).toBe("shapes");
  });
});
