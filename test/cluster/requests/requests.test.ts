/** serve and request between nodes, in virtual time: replies, errors, streams, deadlines, contracts, drains and losses. */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { Readable } from "node:stream";
import { describe, expect } from "vitest";
import { ClusterNode, defineService, ServiceError } from "../../../src/cluster/index.js";
import type { StandardSchemaV1 } from "../../../src/core/standard-schema.js";
import { gate } from "../../support/gate.js";
import { throwing } from "../messaging/throwing.js";
import { simulatedTest as it, KEY } from "../simulated.js";

const validate = (value: unknown) =>
  typeof value === "number" ? { value } : { issues: [{ message: "not one" }] };
const number: StandardSchemaV1<number> = { "~standard": { version: 1, vendor: "test", validate } };
const any: StandardSchemaV1 = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) },
};

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function errorOf(promise: Promise<unknown>): Promise<Error & Partial<ServiceError>> {
  return promise.then(
    (value) => {
      throw new Error(`it resolved to ${String(value)}`);
    },
    (error) => error,
  );
}

describe("requests between nodes", () => {
  it("answers bytes, texts, JSON and nothing as what they are", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("echo", (body) => body).ready;
    for (const body of ["a text", "", { a: [1, null, "x"] }, 7, null, undefined])
      expect(await two.request("echo", body)).toEqual(body);
    expect(await two.request("echo", Buffer.from([0, 255]))).toEqual(Buffer.from([0, 255]));
    const counts = { called: 7, succeeded: 7, failed: 0, pending: 0, pendingBytes: 0 };
    expect(two.stats().requests).toMatchObject(counts);
    expect(one.stats().requests?.served).toMatchObject([{ name: "echo", handled: 7, running: 0 }]);
    expect(two.routes()).toEqual([]);
  });

  it("serves what was given before the start, and answers itself where it is the nearest", async (_, world) => {
    const alone = new ClusterNode({ name: "alone", scope: "link", key: KEY });
    alone.serve("echo", (body) => body);
    await world.node("alone").start(() => alone.start());
    expect(await alone.request("echo", "hello")).toBe("hello");
    expect((await errorOf(alone.request("echo", "hello", { self: false }))).reason).toBe("no-service");
  });

  it("hands the handler headers, method, sender and what is left of the time", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("facts", (_, request) => ({
      headers: request.headers,
      sender: request.sender.name,
      left: request.remaining > 0 && request.remaining <= 900,
    })).ready;
    // As it is, it is a time-out of further requests; without a limit as well.
    await one.serve("further", (timeout, { remaining }) =>
      one.request("facts", undefined, { timeout: remaining }).then(() => [timeout, remaining < 0]),
    ).ready;
    for (const timeout of [800, -1]) {
      const reply = await two.request("further", timeout, { timeout, waitForReady: true });
      expect(reply).toEqual([timeout, timeout < 0]);
    }
    const headers = { trace: "7" };
    const facts = await two.request("facts", undefined, { headers, timeout: 800 });
    expect(facts).toEqual({ headers, sender: two.self.name, left: true });
  });

  it("rejects with the code and data of what the handler threw, and with the message where that is exposed", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const failures: unknown[] = [];
    one.events.on("handler:failed", ({ error }) => failures.push(error));
    const [what, data] = [{ code: "ERR_SERVICE", reason: "worker-failed", service: "fail" }, { left: 0 }];
    const soldOut = (more: object) => throwing(Object.assign(new Error("sold out"), more));
    await one.serve("fail", soldOut({ code: "SOLD_OUT", data })).ready;
    await one.serve("open", soldOut({ expose: true })).ready;
    const error = await errorOf(two.request("fail"));
    expect(error).toBeInstanceOf(ServiceError);
    expect(error).toMatchObject({ ...what, handlerCode: "SOLD_OUT", data });
    expect(error.message).not.toContain("sold out");
    expect(failures).toMatchObject([{ message: "sold out" }]);
    expect((await errorOf(two.request("open"))).message).toBe("open: sold out");
    expect(two.stats().requests).toMatchObject({ called: 2, failed: 2, pending: 0 });
  });

  it("rejects where what the handler returned throws when it is looked at, and frees its slot", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const exposing = (text: string) => throwing(Object.assign(new Error(text), { expose: true }));
    const thrower = (key: PropertyKey) =>
      Object.defineProperty({}, key, { get: exposing(`no ${String(key)}`) });
    const results: (() => unknown)[] = [
      () => thrower("then"),
      // biome-ignore lint/suspicious/noThenProperty: a thenable that is not a promise.
      () => ({ then: exposing("no then") }),
      () => thrower(Symbol.asyncIterator),
      async () => thrower(Symbol.asyncIterator),
    ];
    const own = one.serve("odd", (i: number) => results[i]?.());
    await own.ready;
    const message = expect.stringMatching(/no (then|Symbol)/);
    for (const i of results.keys())
      expect(await errorOf(two.request("odd", i))).toMatchObject({ reason: "worker-failed", message });
    expect(own.stats()).toMatchObject({ running: 0, failed: results.length });
  });

  it("fails as too large if no message holds the reply", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("large", () => "x".repeat(2_000_000)).ready;
    const message = expect.stringContaining("2000005 bytes");
    expect(await errorOf(two.request("large"))).toMatchObject({ reason: "too-large", message });
  });

  it("fails at once where no node serves it, or waits for one", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    expect((await errorOf(two.request("later"))).reason).toBe("no-service");
    const waiting = two.request("later", 1, { waitForReady: true });
    one.serve("later", (body) => body);
    expect(await waiting).toBe(1);
    const never = errorOf(two.request("never", 1, { waitForReady: true, timeout: 50 }));
    expect(await never).toMatchObject({ code: "ETIMEDOUT" });
  });

  it("aborts the handler's signal when the caller gives up, or its time is over", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const aborted: string[] = [];
    const { passed: begun, open: begin } = gate();
    await one.serve("slow", async (body, { signal }) => {
      begin();
      await once(signal, "abort");
      aborted.push(String(body));
      throw signal.reason;
    }).ready;
    const controller = new AbortController();
    const given = two.request("slow", "given up", { signal: controller.signal });
    await begun;
    controller.abort();
    expect(await errorOf(given)).toMatchObject({ code: "ABORT_ERR" });
    expect(await errorOf(two.request("slow", "late", { timeout: 50 }))).toMatchObject({
      code: "ETIMEDOUT",
      message: expect.stringMatching(/^slow: no reply from one\S* at \S+:\d+ within 50 ms$/),
    });
    while (aborted.length < 2) await turn();
    expect(aborted).toEqual(["given up", "late"]);
    while (one.stats().requests?.served[0]?.running !== 0) await turn();
    expect(two.stats().requests).toMatchObject({ pending: 0, failed: 2 });
  });

  it("streams replies no faster than they are read, and ends the handler when the reader leaves", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    let made = 0;
    let ended = false;
    await one.serve("count", async function* (most) {
      try {
        for (let i = 1; i <= Number(most); i++) {
          made = i;
          yield i;
        }
      } finally {
        ended = true;
      }
    }).ready;
    const all: unknown[] = [];
    for await (const part of two.requestStream("count", 1_000)) all.push(part);
    expect(all).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1));

    ended = false;
    const stream = two.requestStream("count", 1_000_000, { maxQueue: 8 });
    for (let i = 1; i <= 20; i++) expect(await stream.next()).toEqual({ done: false, value: i });
    // Read, unread, and one that waits for credit.
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(made).toBeLessThanOrEqual(20 + 8 + 1);
    await stream.return?.();
    while (!ended) await turn();
    expect(two.stats().requests?.pending).toBe(0);
  });

  it("destroys a stream that answers a request for one reply, whose error ends no process", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const file = new Readable({ read() {} });
    await one.serve("file", () => file).ready;
    const code = { code: "ERR_SERVICE", reason: "invalid-request" };
    expect(await errorOf(two.request("file"))).toMatchObject(code);
    expect(file.destroyed).toBe(true);
    expect(() => file.emit("error", new Error("no such file"))).not.toThrow();
  });

  it("destroys a stream that it returns after its caller has left", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const file = new Readable({ read() {} });
    const opened = gate();
    const aborted = gate();
    await one.serve("file", async (_: Buffer, { signal }) => {
      signal.addEventListener("abort", () => aborted.open());
      await opened.passed;
      return file;
    }).ready;
    const parts = two.requestStream("file");
    void parts.next().catch(() => undefined);
    while (one.stats().requests?.served[0]?.running !== 1) await turn();
    await parts.return?.();
    await aborted.passed;
    opened.open();
    file.push("unread");
    while (!file.destroyed) await turn();
    expect(() => file.emit("error", new Error("no such file"))).not.toThrow();
  });

  it("is observed until its reply, not until those have run that waited for it", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const seen: string[] = [];
    const ended = (): void => void seen.push("ended");
    subscribe("shoal.process.end", ended);
    const opened = gate();
    const handle = (body: Buffer): unknown => {
      if (String(body) === "first") return opened.passed.then(() => "");
      seen.push("second");
      return "";
    };
    await one.serve("work", handle as never, { concurrency: 1 }).ready;
    const replies = Promise.all([two.request("work", "first"), two.request("work", "second")]);
    while (one.stats().requests?.served[0]?.queued !== 1) await turn();
    opened.open();
    await replies;
    unsubscribe("shoal.process.end", ended);
    expect(seen).toEqual(["ended", "second", "ended"]);
  });

  it("has ended when its last part is as large as what may be unread", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("large", async function* () {
      yield Buffer.alloc(100_000);
    }).ready;
    const parts = two.requestStream("large", undefined, { maxQueueBytes: 65_536 });
    while (one.stats().requests?.served[0]?.handled !== 1) await turn();
    const { value } = await parts.next();
    expect((value as Buffer).length).toBe(100_000);
    expect(await parts.next()).toEqual({ done: true, value: undefined });
  });

  it("rejects a stream with what the handler threw, after the parts before it", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("broken", async function* () {
      yield "first";
      throw Object.assign(new Error("no more"), { expose: true });
    }).ready;
    const stream = two.requestStream("broken");
    expect(await stream.next()).toEqual({ done: false, value: "first" });
    await expect(stream.next()).rejects.toThrow("no more");
    expect(await stream.next()).toEqual({ done: true, value: undefined });
    expect(await errorOf(two.request("broken"))).toMatchObject({ reason: "invalid-request" });
  });

  it("asks all that serve it, and puts each into one list", async (cluster) => {
    const [one, two, three] = await cluster(["one", "two", "three"]);
    await one.serve("who", () => "one").ready;
    await two.serve("who", throwing(new Error("nobody"))).ready;
    await three.serve("who", () => new Promise(() => undefined)).ready;
    const { replies, failed, missing } = await three.requestMany("who", undefined, { timeout: 1_500 });
    expect(replies.map(({ member, body }) => [member.id, body])).toEqual([[one.self.id, "one"]]);
    expect(failed.map(({ member }) => member.id)).toEqual([two.self.id]);
    expect(missing.map(({ id }) => id)).toEqual([three.self.id]);
    const first = await three.requestMany("who", undefined, { count: 1 });
    expect(first.replies).toHaveLength(1);
  });

  it("serves a contract, and checks both ends by its schemas", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const contract = defineService({
      name: "math",
      methods: {
        square: { request: number, reply: number },
        upTo: { request: number, stream: number },
        wrong: { request: number, reply: number },
      },
    });
    await one.serve(contract, {
      square: (value) => value * value,
      async *upTo(most) {
        for (let i = 1; i <= most; i++) yield i;
      },
      wrong: () => "no number" as never,
    }).ready;
    const math = two.service(contract);
    expect(await math.square(7)).toBe(49);
    const parts: number[] = [];
    for await (const part of math.upTo(3)) parts.push(part);
    expect(parts).toEqual([1, 2, 3]);
    expect(await errorOf(math.square("x" as never))).toMatchObject({ code: "EINVAL" });
    const unchecked = defineService({ name: "math", methods: { square: { request: any, reply: any } } });
    expect(await errorOf(two.service(unchecked).square("eight"))).toMatchObject({
      reason: "invalid-request",
      data: { issues: [{ path: [], message: "not one" }] },
    });
    expect(await errorOf(math.wrong(1))).toMatchObject({ reason: "invalid-reply" });
  });

  it("holds no drain of a node that was removed: no other node answers it any more", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("work", () => "done").ready;
    await two.request("work");
    const removed = new Promise((resolve) => one.events.once("removed", resolve));
    two.remove(one.id);
    await removed;
    await one.drain({ timeout: 5_000 });
  });

  it("goes to a removed node again once it is admitted", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("work", () => "done").ready;
    const removed = new Promise((resolve) => one.events.once("removed", resolve));
    two.remove(one.id);
    await removed;
    const later = one.serve("later", () => "done, too");
    two.admit(one.id);
    expect(await two.request("work", "", { waitForReady: true, timeout: 8_000 })).toBe("done");
    expect(await two.request("later", "", { waitForReady: true, timeout: 8_000 })).toBe("done, too");
    await later.ready;
  });

  it("lets a handler make its own calls while its node drains, and refuses calls afterwards", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    two.serve("inner", (text) => `inner ${text}`);
    two.serve("parts", async function* (text) {
      yield `part ${text}`;
    });
    two.onQuery(({ data }) => `answer ${data}`);
    const heard: string[] = [];
    await two.subscribe("topic", ({ data }) => void heard.push(String(data))).ready;
    const { passed: begun, open: begin } = gate();
    const { passed: draining, open: go } = gate();
    await one.serve("outer", async (text) => {
      begin();
      await draining;
      const replies: unknown[] = [await one.request("inner", text)];
      for await (const part of one.requestStream("parts", text)) replies.push(part);
      const { replies: answers } = await one.query({ members: ["two"], data: String(text) }).collect();
      replies.push(answers[0]?.data, await one.publish("topic", "last words"));
      return replies;
    }).ready;
    const reply = two.request("outer", "x", { waitForReady: true });
    await begun;
    const drained = one.drain();
    go();
    expect(await reply).toEqual(["inner x", "part x", "answer x", 1]);
    await drained;
    expect(heard).toEqual(["last words"]);
    expect(await errorOf(one.request("inner"))).toMatchObject({ code: "EAGAIN" });
    expect(() => one.requestStream("parts")).toThrow(expect.objectContaining({ code: "EAGAIN" }));
    expect(() => one.query({ members: ["two"] })).toThrow(expect.objectContaining({ code: "EAGAIN" }));
    expect(await errorOf(one.publish("topic", "x"))).toMatchObject({ code: "EAGAIN" });
  });

  it("drains with the handlers of a closed service, which may make calls, too", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    two.serve("inner", () => "inner");
    const { passed: begun, open: begin } = gate();
    const { passed: draining, open: go } = gate();
    const outer = one.serve("outer", async () => {
      begin();
      await draining;
      return one.request("inner");
    });
    await outer.ready;
    const reply = two.request("outer", "", { waitForReady: true });
    await begun;
    let isDrained = false;
    const ended = Promise.all([outer.close(), one.drain().then(() => (isDrained = true))]);
    await turn();
    expect(isDrained).toBe(false);
    go();
    expect(await reply).toBe("inner");
    await ended;
  });

  it("refuses calls of a namespace that drains alone, while another one of its node serves", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    const side = one.namespace("side", { key: KEY });
    const { passed: begun, open: begin } = gate();
    const { passed: ended, open: end } = gate();
    await one.serve("busy", () => {
      begin();
      return ended;
    }).ready;
    const reply = two.request("busy", "", { waitForReady: true });
    await begun;
    await side.drain();
    expect(await errorOf(side.request("inner"))).toMatchObject({ code: "EAGAIN" });
    end();
    await reply;
  });

  it("rejects what waits when the namespace closes, and takes nothing afterwards", async (cluster) => {
    const [one, two] = await cluster(["one", "two"]);
    await one.serve("never", () => new Promise(() => undefined)).ready;
    const waiting = errorOf(two.request("never", 1, { timeout: -1 }));
    await two.close({ linger: 0 });
    expect(await waiting).toMatchObject({ code: "EAGAIN" });
    expect(await errorOf(two.request("never"))).toMatchObject({ code: "EBADF" });
    expect(() => two.serve("x", () => 1)).toThrow(expect.objectContaining({ code: "EBADF" }));
  });

  it("refuses mistakes with what was expected", async (cluster) => {
    const [one] = await cluster(["one"]);
    one.serve("known", () => 1);
    const EINVAL = expect.objectContaining({ code: "EINVAL" });
    for (const call of [
      () => one.serve("bad name", () => 1),
      () => one.serve("", () => 1),
      () => one.serve("x", 7 as never),
      () => one.serve("x", () => 1, { concurrency: 0 }),
      () => one.serve("x", () => 1, { concurency: 1 } as never),
      () => one.requestStream("x", 1, { count: 1 } as never),
    ])
      expect(call).toThrow(EINVAL);
    expect(() => one.serve("known", () => 1)).toThrow(expect.objectContaining({ code: "EFSM" }));
    for (const options of [
      { timeout: 1.5 },
      { retries: -1 },
      { headers: { a: 1 } },
      { headers: { a: "x".repeat(9_000) } },
      { signal: 7 },
      { timout: 1 },
      null,
    ])
      expect(await errorOf(one.request("known", 1, options as never)), JSON.stringify(options)).toEqual(
        EINVAL,
      );
    expect(await errorOf(one.request("known", () => 1))).toEqual(EINVAL);
    for (const signal of [7, "x", {}, null])
      expect(await errorOf(one.requestMany("known", 1, { signal } as never))).toEqual(EINVAL);
  });
});
