/** Bodies in parts: between real nodes, and the rules of both sides against what the other end may do. */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { PassThrough, Readable } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { decodeBody } from "../../../src/cluster/requests/body.js";
import { PartStream } from "../../../src/cluster/requests/part-stream.js";
import {
  BodyForm,
  encodeCall,
  encodePart,
  encodeSign,
  RequestOp,
} from "../../../src/cluster/requests/wire.js";
import { freePort } from "../../support/ports.js";
import { World } from "./request-world.js";

const PORT = await freePort();
const open: ClusterNode[] = [];
let made = 0;

afterEach(async () => {
  await Promise.all(open.splice(0).map((node) => node.close({ linger: 0 })));
});

/** Nodes of a group of their own, all of which see each other. */
async function cluster(...names: string[]): Promise<ClusterNode[]> {
  made += 1;
  const group = `bodies-${process.pid}-${made}`;
  const nodes = names.map((name) => new ClusterNode({ name, group, multicast: { port: PORT } }));
  open.push(...nodes);
  await Promise.all(nodes.map((node) => node.start()));
  for (const node of nodes)
    while (node.members().length < names.length)
      await new Promise((resolve) => node.events.once("joined", resolve));
  return nodes;
}

type Parts = AsyncIterable<unknown>;

/** A promise, and what settles it. */
function gate<T = void>(): { readonly passed: Promise<T>; open(value: T): void } {
  let open: (value: T) => void = () => undefined;
  const passed = new Promise<T>((resolve) => (open = resolve));
  return { passed, open };
}

async function* count(to: number, onTaken: (n: number) => void = () => undefined): AsyncGenerator<number> {
  for (let n = 1; n <= to; n++) {
    onTaken(n);
    yield n;
  }
}

describe("a body in parts", () => {
  it("reaches the handler in order, whole, and as what its parts are; here and elsewhere", async () => {
    const [one, two] = (await cluster("one", "two")) as [ClusterNode, ClusterNode];
    await one.serve("list", async (body: Parts, { headers }) => {
      const parts: unknown[] = [];
      for await (const part of body) parts.push(Buffer.isBuffer(part) ? `${part.length} bytes` : part);
      return { parts, of: headers.of };
    }).ready;
    async function* mixed(): AsyncGenerator<unknown> {
      yield* ["a text", Buffer.alloc(100_000), { a: 1 }, null];
    }
    for (const node of [one, two])
      expect(await node.request("list", mixed(), { headers: { of: "mine" } })).toEqual({
        parts: ["a text", "100000 bytes", { a: 1 }, null],
        of: "mine",
      });
    expect(await two.request("list", count(0))).toEqual({ parts: [] });
    expect(two.stats().requests).toMatchObject({ pending: 0, failed: 0, refused: {} });
  });

  it("is answered in parts, while it comes, by requestStream", async () => {
    const [one, two] = (await cluster("one", "two")) as [ClusterNode, ClusterNode];
    await one.serve("double", async function* (body: AsyncIterable<number>) {
      for await (const n of body) yield 2 * n;
    }).ready;
    const source = new PassThrough({ objectMode: true });
    const replies = two.requestStream("double", source);
    for (const n of [1, 2, 3]) {
      source.write(n);
      expect(await replies.next()).toEqual({ done: false, value: 2 * n });
    }
    source.end();
    expect((await replies.next()).done).toBe(true);
  });

  it("is asked for no further than the handler reads: windows of parts, and of bytes", async () => {
    const [one, two] = (await cluster("one", "two")) as [ClusterNode, ClusterNode];
    const begun = gate();
    const reading = gate();
    const sum = async (body: AsyncIterable<number | Buffer>): Promise<number> => {
      begun.open();
      await reading.passed;
      let all = 0;
      for await (const part of body) all += typeof part === "number" ? part : part.length;
      return all;
    };
    await one.serve("few", sum, { maxParts: 4 }).ready;
    await one.serve("small", sum, { maxPartBytes: 1_000 }).ready;
    let taken = 0;
    let bytes = 0;
    async function* pieces(): AsyncGenerator<Buffer> {
      for (let n = 0; n < 20; n++) {
        bytes += 400;
        yield Buffer.alloc(400);
      }
    }
    const sums = [
      two.request(
        "few",
        count(100, (n) => (taken = n)),
      ),
      two.request("small", pieces()),
    ];
    await begun.passed;
    // What follows on the same link comes after all that a caller may send without being granted more.
    await one.serve("after", () => undefined).ready;
    for (let i = 0; i < 5; i++) await two.request("after");
    // One further part is asked of the source before it is known that it has to wait.
    expect(taken).toBeLessThanOrEqual(5);
    expect(bytes).toBeLessThanOrEqual(4 * 400);
    reading.open();
    expect(await Promise.all(sums)).toEqual([5_050, 8_000]);
  });

  it("that the handler leaves is not asked for any more, and the request goes on", async () => {
    const [one, two] = (await cluster("one", "two")) as [ClusterNode, ClusterNode];
    const left = gate();
    const answer = gate();
    await one.serve(
      "first",
      async (body: Parts) => {
        for await (const part of body) {
          await answer.passed;
          return part;
        }
        return undefined;
      },
      { maxParts: 2 },
    ).ready;
    await one.serve(
      "rest",
      async (body: Parts) => {
        for await (const part of body) {
          void part;
          break;
        }
        await left.passed;
        return "went on";
      },
      { maxParts: 2 },
    ).ready;
    const source = new Readable({ read: () => undefined, objectMode: true });
    source.push("x");
    const closed = once(source, "close");
    const reply = two.request("rest", source);
    // Left though it gives nothing: its end is not waited for.
    await closed;
    left.open();
    expect(await reply).toBe("went on");

    let isLeft = false;
    async function* endless(): AsyncGenerator<number> {
      try {
        for (let n = 0; ; n++) yield n;
      } finally {
        isLeft = true;
      }
    }
    answer.open();
    expect(await two.request("first", endless())).toBe(0);
    while (!isLeft) await new Promise(setImmediate);
  });

  it("that the caller gives up, or whose source fails, ends the handler's loop, and its error is the caller's", async () => {
    const [one, two] = (await cluster("one", "two")) as [ClusterNode, ClusterNode];
    const ends: string[] = [];
    let ended = gate();
    const taken = gate();
    await one.serve("all", async (body: Parts) => {
      try {
        for await (const part of body) {
          void part;
          taken.open();
        }
      } catch (error) {
        ends.push((error as Error).name);
        ended.open();
        throw error;
      }
    }).ready;
    const controller = new AbortController();
    const stalled = new PassThrough({ objectMode: true });
    stalled.write("x");
    const given = two.request("all", stalled, { signal: controller.signal });
    await taken.passed;
    controller.abort();
    await expect(given).rejects.toMatchObject({ code: "ABORT_ERR" });
    await ended.passed;
    expect(stalled.destroyed).toBe(true);

    ended = gate();
    async function* failing(): AsyncGenerator<string> {
      yield "x";
      throw new RangeError("the disk is gone");
    }
    await expect(two.request("all", failing())).rejects.toThrow(RangeError);
    await ended.passed;
    expect(ends).toEqual(["AbortError", "AbortError"]);
    while (one.stats().requests?.served[0]?.running !== 0) await new Promise(setImmediate);
  });

  it("whose source throws nothing ends all the same", async () => {
    const [one] = (await cluster("one")) as [ClusterNode];
    await one.serve("all", async (body: Parts) => {
      for await (const part of body) void part;
    }).ready;
    async function* failing(): AsyncGenerator<string> {
      yield "x";
      throw undefined;
    }
    await expect(one.request("all", failing())).rejects.toThrow("the body of all threw no error");
    await expect(one.requestStream("all", failing()).next()).rejects.toThrow("threw no error");
  });

  it("that is a stream which fails before it is read fails the request, and one that was not read stays as it was", async () => {
    const [one] = (await cluster("one")) as [ClusterNode];
    one.serve("all", async (body: Parts) => {
      for await (const part of body) void part;
    });
    await expect(one.request("all", createReadStream("/nobody/has/this"))).rejects.toMatchObject({
      code: "ENOENT",
    });
    const source = new PassThrough();
    await expect(one.request("nobody", source)).rejects.toMatchObject({ reason: "no-service" });
    expect([source.destroyed, source.listenerCount("error")]).toEqual([false, 0]);
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("it stays");
      },
    ],
    ["rejects", () => Promise.reject(new Error("it stays"))],
  ])("is over when the caller gives it up, although its source's destroy %s", async (_, destroy) => {
    const [one, two] = (await cluster("one", "two")) as [ClusterNode, ClusterNode];
    const taken = gate();
    const ended = gate<unknown>();
    await one.serve("all", async (body: Parts) => {
      try {
        for await (const part of body) taken.open(void part);
      } catch (error) {
        ended.open(error);
        throw error;
      }
    }).ready;
    async function* stalled(): AsyncGenerator<string> {
      yield "x";
      await new Promise(() => undefined);
    }
    const controller = new AbortController();
    const given = two.request("all", Object.assign(stalled(), { destroy }), { signal: controller.signal });
    await taken.passed;
    controller.abort();
    await expect(given).rejects.toMatchObject({ code: "ABORT_ERR" });
    expect(await ended.passed).toMatchObject({ name: "AbortError" });
    expect(two.stats().requests).toMatchObject({ pending: 0 });
  });

  it("whose serving node leaves fails as worker-lost, goes to no other node, and its source is left", async () => {
    const [one, two, three] = (await cluster("one", "two", "three")) as [
      ClusterNode,
      ClusterNode,
      ClusterNode,
    ];
    const begun = gate();
    await one.serve("all", async (body: Parts) => {
      for await (const part of body) {
        void part;
        begun.open();
      }
    }).ready;
    const source = new PassThrough({ objectMode: true });
    source.write("x");
    const reply = two.request("all", source, { idempotent: true }).catch((error: unknown) => error);
    await begun.passed;
    let runs = 0;
    await three.serve("all", () => (runs += 1)).ready;
    await one.close({ linger: 0 });
    expect(await reply).toMatchObject({
      reason: expect.stringMatching(/worker-lost|worker-failed/),
    });
    expect(source.destroyed).toBe(true);
    expect(runs).toBe(0);
  });

  it("that was refused has lost no part: another node gets all of it", async () => {
    const [one, two, three] = (await cluster("one", "two", "three")) as [
      ClusterNode,
      ClusterNode,
      ClusterNode,
    ];
    const hold = gate();
    const sum = async (body: AsyncIterable<number>): Promise<number> => {
      let all = 0;
      for await (const n of body) all += n;
      return all;
    };
    await one.serve("sum", async (body: never) => (typeof body === "string" ? hold.passed : sum(body)), {
      concurrency: 1,
      maxQueue: 0,
    }).ready;
    // Its one slot is taken.
    const holding = three.request("sum", "hold", { timeout: -1 });
    while (one.stats().requests?.served[0]?.running !== 1) await new Promise(setImmediate);
    await two.serve("sum", sum).ready;
    const sums = await Promise.all(Array.from({ length: 20 }, () => three.request("sum", count(10))));
    expect(sums).toEqual(Array(20).fill(55));
    hold.open();
    await holding;
  });

  it("conforms to the schema part by part, and is refused where it cannot be one", async () => {
    const [one, two] = (await cluster("one", "two")) as [ClusterNode, ClusterNode];
    const number = {
      "~standard": {
        version: 1 as const,
        vendor: "test",
        validate: (value: unknown) =>
          typeof value === "number" ? { value } : { issues: [{ message: "not a number" }] },
      },
    };
    await one.serve(
      "numbers",
      async (body: never) => {
        const parts: unknown[] = [];
        for await (const part of body as Parts) parts.push(part);
        return parts;
      },
      { schema: { request: number as never } },
    ).ready;
    expect(await two.request("numbers", count(3))).toEqual([1, 2, 3]);
    await expect(two.request("numbers", Readable.from([1, "x"]))).rejects.toMatchObject({
      reason: "invalid-request",
    });
    await expect(two.request("numbers", count(1), { idempotencyKey: "k" })).rejects.toMatchObject({
      code: "EINVAL",
    });
    await expect(two.requestMany("numbers", count(1))).rejects.toMatchObject({ code: "EINVAL" });
    await expect(two.request("numbers", Readable.from([() => 1]))).rejects.toMatchObject({ code: "EINVAL" });
    expect(() => one.serve("none", () => 1, { maxParts: 0 })).toThrow("maxParts");
  });
});

describe("the rules of a serving node", () => {
  const EXTRAS = { method: "", key: "", headers: undefined, parts: 0, bytes: 0, isStreamed: true } as const;
  const NOTHING = { form: BodyForm.NONE, data: "" } as const;

  it("drop parts of what is not here, does not run, or has no body in parts", () => {
    const world = new World(1);
    const [node] = [world.add("serving"), world.add("caller")];
    node.serve({ concurrency: 1 });
    world.workOf = () => ({ ms: 1_000, fails: false, parts: 0 });
    for (const id of [1, 2])
      node.receive("caller", encodeCall(id, 0, "work", id === 1 ? undefined : EXTRAS, NOTHING));
    for (const id of [1, 2, 3]) {
      node.receive("caller", encodePart(id, { form: BodyForm.TEXT, data: "x" }, RequestOp.BODY));
      node.receive("caller", encodeSign(RequestOp.BODY_END, id));
    }
    expect(node.serving.refused).toEqual({ late: 6 });
  });

  it("refuse a body in parts with an idempotency key", () => {
    const world = new World(1);
    const [node] = [world.add("serving"), world.add("caller")];
    node.serve();
    node.receive("caller", encodeCall(1, 0, "work", { ...EXTRAS, key: "k" }, NOTHING));
    expect(node.serving.refused).toEqual({ "invalid-request": 1 });
    expect(node.service?.running).toBe(0);
  });

  it("end a request that is sent more than was granted", () => {
    const granted: [number, number][] = [];
    const stream = new PartStream(2, 100, decodeBody, (parts, bytes) => void granted.push([parts, bytes]));
    const part = Buffer.from("x");
    expect([1, 2, 3].map(() => stream.part(BodyForm.TEXT, part))).toEqual([undefined, undefined, "window"]);
    const world = new World(1);
    const [node] = [world.add("serving"), world.add("caller")];
    node.serve();
    world.workOf = () => ({ ms: 1_000, fails: false, parts: 0 });
    node.onBody = () => "window";
    node.receive("caller", encodeCall(1, 0, "work", EXTRAS, NOTHING));
    expect(node.service?.running).toBe(1);
    node.receive("caller", encodePart(1, { form: BodyForm.TEXT, data: "x" }, RequestOp.BODY));
    expect(node.serving.refused).toEqual({ window: 1 });
    expect([node.service?.running, node.service?.failed, node.aborted.length]).toEqual([0, 1, 1]);
  });
});
