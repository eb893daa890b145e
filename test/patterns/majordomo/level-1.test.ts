/**
 * docs/spec/majordomo.md, Levels: peers of level 1 with those of today. The frames are recorded: a client, a worker and a
 * broker of the last version of level 1 sent them, with other ids. A raw socket plays each of them.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { Dealer, Router } from "../../../src/index.js";
import {
  MajordomoBroker,
  MajordomoClient,
  type MajordomoRequestContext,
  MajordomoWorker,
} from "../../../src/patterns/index.js";
import { failure } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";

/** As recorded, but for ids and names. The request is the client's fifth, the delivery's tag 9, the failed one's 10. */
const OLD = {
  workerQuestion: "- 4d4450433031 6d6d692e73686f616c 53484c573031",
  ready: "53484c57303101 6563686f 0000000200000002 6f6c64",
  final: "53484c5730310400000009 6869",
  failure: "53484c573031070000000a 776f726b65722d6661696c6564 6f6f7073",
  clientQuestion: "- 4d4450433031 6d6d692e73686f616c 53484c433031",
  request: "53484c43303101c1c2c3c4c5c6c7c80000000000000005000000026563686f 6869",
  answerToQuestion: "- 4d4450433031 6d6d692e73686f616c 323030 0102030405060708 32353030 33",
  delivery: "53484c5730310200000009c1c2c3c4c5c6c7c8000000000000000500000002 6869",
  answer: "53484c43303103c1c2c3c4c5c6c7c80000000000000005 6869",
  error: "53484c43303104c1c2c3c4c5c6c7c80000000000000005 776f726b65722d6661696c6564 6f6f7073",
} as const;

const framesOf = (recorded: string): Buffer[] =>
  recorded.split(" ").map((frame) => (frame === "-" ? Buffer.alloc(0) : Buffer.from(frame, "hex")));
const hexOf = (frames: readonly Buffer[]): string =>
  frames.map((frame) => frame.toString("hex") || "-").join(" ");

/** A recorded message whose bytes from `at` on are those of another message: a tag, an id. */
function like(recorded: string, at: number, bytes: Buffer): Buffer[] {
  const [head = Buffer.alloc(0), ...rest] = framesOf(recorded);
  bytes.copy(head, at);
  return [head, ...rest];
}
const TAG = [7, 11] as const;
const ID = [7, 23] as const;

const track = closeAfterEach();

describe("a broker of today", () => {
  let broker: MajordomoBroker;
  let endpoint: string;
  beforeEach(async () => {
    broker = track(new MajordomoBroker());
    endpoint = await broker.bind("tcp://127.0.0.1:*");
  });

  it("serves with a worker of level 1, which gets no time, headers or attempt", async () => {
    const worker = track(new Dealer());
    worker.connect(endpoint);
    await worker.send(framesOf(OLD.workerQuestion));
    // What level 2 adds follows what level 1 knows.
    expect((await worker.receive()).slice(0, 4).map(String)).toEqual(["", "MDPC01", "mmi.shoal", "200"]);
    await worker.send(framesOf(OLD.ready));
    const client = track(new MajordomoClient(endpoint));
    const answered = client.request("echo", "hi", { headers: { trace: "a1" }, timeout: 10_000 });
    const [head = Buffer.alloc(0), ...body] = await worker.receive();
    expect([head.length, head[6], hexOf(body)]).toEqual([framesOf(OLD.delivery)[0]?.length, 2, "6869"]);
    await worker.send(like(OLD.final, TAG[0], head.subarray(...TAG)));
    expect(String(await answered)).toBe("hi");
    const failed = failure(client.request("echo", "no"));
    const [second = Buffer.alloc(0)] = await worker.receive();
    await worker.send(like(OLD.failure, TAG[0], second.subarray(...TAG)));
    expect(await failed).toMatchObject({ reason: "worker-failed", message: "echo: oops", data: undefined });
    expect(broker.stats()).toMatchObject({ faults: 0, answered: 1, failed: 1 });
  });

  it("serves a client of level 1, whose requests have no time or headers", async () => {
    let context: MajordomoRequestContext | undefined;
    const worker = track(
      new MajordomoWorker(endpoint, "echo", (request, given) => {
        context = given;
        if (String(request) === "hi") return request;
        throw Object.assign(new Error("secret"), { code: "E_FISH" });
      }),
    );
    await worker.ready();
    const client = track(new Dealer());
    client.connect(endpoint);
    await client.send(framesOf(OLD.clientQuestion));
    expect((await client.receive()).slice(0, 4).map(String)).toEqual(["", "MDPC01", "mmi.shoal", "200"]);
    await client.send(framesOf(OLD.request));
    expect(hexOf(await client.receive())).toBe(OLD.answer);
    expect(context).toMatchObject({ headers: {}, deadline: undefined, attempt: 1 });
    expect(context?.id).toBe("c1c2c3c4c5c6c7c80000000000000005");
    const [head = Buffer.alloc(0)] = framesOf(OLD.request);
    head.writeUInt32BE(6, ID[1] - 4);
    await client.send([head, "no"]);
    // The old client reads reason and text, and nothing behind them.
    const [error = Buffer.alloc(0), ...rest] = await client.receive();
    expect([error[6], error.subarray(...ID).toString("hex"), String(rest[0])]).toEqual([
      4,
      "c1c2c3c4c5c6c7c80000000000000006",
      "worker-failed",
    ]);
    expect(broker.stats().faults).toBe(0);
  });
});

describe("a broker of level 1", () => {
  let router: Router;
  let endpoint: string;
  beforeEach(async () => {
    router = track(new Router());
    endpoint = await router.bind("tcp://127.0.0.1:*");
  });

  /** Answers the question, which is the first message. @returns the peer */
  async function answerQuestion(question: string): Promise<Buffer> {
    const [peer = Buffer.alloc(0), ...asked] = await router.receive();
    expect(hexOf(asked)).toBe(question);
    await router.send([peer, ...framesOf(OLD.answerToQuestion)]);
    return peer;
  }

  it("has a worker of today that speaks level 1 with it", async () => {
    let context: MajordomoRequestContext | undefined;
    const worker = track(
      new MajordomoWorker(
        endpoint,
        "echo",
        (request, given) => {
          context = given;
          if (String(request) === "hi") return request;
          throw Object.assign(new Error("oops"), { code: "E_FISH", data: 5 });
        },
        { name: "old", concurrency: 2, exposeErrors: true },
      ),
    );
    const peer = await answerQuestion(OLD.workerQuestion);
    const [, ...ready] = await router.receive();
    expect(hexOf(ready)).toBe(OLD.ready);
    await worker.ready();
    await router.send([peer, ...framesOf(OLD.delivery)]);
    const [, ...final] = await router.receive();
    expect(hexOf(final)).toBe(OLD.final);
    expect(context).toMatchObject({ headers: {}, deadline: undefined, attempt: 1 });
    const [head = Buffer.alloc(0)] = framesOf(OLD.delivery);
    head.writeUInt32BE(10, TAG[0]);
    head.writeUInt32BE(6, TAG[1] + 12);
    await router.send([peer, head, "no"]);
    const [, ...failed] = await router.receive();
    expect(hexOf(failed)).toBe(OLD.failure);
  });

  it("has a client of today that speaks level 1 with it, and sends it no headers", async () => {
    const client = track(new MajordomoClient(endpoint));
    const peer = await answerQuestion(OLD.clientQuestion);
    await client.ready();
    expect(await failure(client.request("echo", "hi", { headers: { trace: "a1" } }))).toMatchObject({
      code: "NOT_SUPPORTED",
    });
    const answered = client.request("echo", "hi");
    const [, head = Buffer.alloc(0), ...body] = await router.receive();
    const [recorded = Buffer.alloc(0)] = framesOf(OLD.request);
    expect([head.length, head[6], hexOf(body)]).toEqual([recorded.length, 1, "6869"]);
    expect(hexOf([head.subarray(ID[1] + 4)])).toBe(hexOf([recorded.subarray(ID[1] + 4)]));
    await router.send([peer, ...like(OLD.answer, ID[0], head.subarray(...ID))]);
    expect(String(await answered)).toBe("hi");
    const failed = failure(client.request("echo", "no"));
    const [, second = Buffer.alloc(0)] = await router.receive();
    await router.send([peer, ...like(OLD.error, ID[0], second.subarray(...ID))]);
    expect(await failed).toMatchObject({ reason: "worker-failed", message: "echo: oops" });
  });
});
