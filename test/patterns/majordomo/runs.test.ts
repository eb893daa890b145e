/** Runs: requests, and answers, that leave in one message between ends of level 4. Each member is as if it came alone. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { Context, Dealer, type RouterOptions } from "../../../src/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/index.js";
import {
  type MajordomoBrokerEvent,
  type MajordomoBrokerLimits,
  resolveBrokerLimits,
} from "../../../src/patterns/majordomo/broker-options.js";
import { BrokerRules } from "../../../src/patterns/majordomo/broker-rules.js";
import type { BrokerRequest, SendResult } from "../../../src/patterns/majordomo/broker-tables.js";
import {
  type ClientInput,
  cancelMessage,
  extendedRequest,
  parseAtClient,
} from "../../../src/patterns/majordomo/client-messages.js";
import { ClientRules } from "../../../src/patterns/majordomo/client-rules.js";
import { attemptIn, headTemplateWith, requestHeadWith } from "../../../src/patterns/majordomo/header.js";
import { ClientCommand, Dialect, EMPTY, type Frames } from "../../../src/patterns/majordomo/protocol.js";
import { RequestMemory } from "../../../src/patterns/majordomo/request-memory.js";
import {
  MAX_RUN_BODY,
  MAX_RUN_BYTES,
  MAX_RUN_MEMBERS,
  RunWriter,
} from "../../../src/patterns/majordomo/runs.js";
import {
  type Delivery,
  parseAtBroker,
  parseAtWorker,
  readyMessage,
  replyMessage,
} from "../../../src/patterns/majordomo/worker-messages.js";
import { WorkerSession } from "../../../src/patterns/majordomo/worker-rules.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const KEY = Buffer.alloc(8, 3);
const TEMPLATE = headTemplateWith(KEY, Buffer.from("echo"));

/** What stands at byte 6 of a head. */
const Command = {
  Request: 12,
  Requests: 14,
  Answers: 15,
  Final: 3,
  Error: 4,
  Delivery: 11,
  Deliveries: 14,
} as const;

function numbered(
  numbers: readonly (readonly number[])[],
  bodies: readonly string[],
  head: Buffer,
): Buffer[] {
  const writer = new RunWriter();
  bodies.forEach((body, i) => {
    for (const number of numbers[i] ?? []) writer.number(number);
    writer.body(body);
  });
  return writer.message([head]) as Buffer[];
}

/** A client's run of requests that follow each other. */
function requests(
  first: number,
  bodies: readonly string[],
  oldest = first,
  time = 1_000,
  template = TEMPLATE,
): Buffer[] {
  const head = requestHeadWith(template, ClientCommand.Requests, first, oldest, time, EMPTY);
  return numbered(
    bodies.map((_, i) => [first + i]),
    bodies,
    head,
  );
}

/** One request as it comes alone. */
function single(sequence: number, body: string, oldest = sequence): Frames {
  return extendedRequest(
    requestHeadWith(TEMPLATE, ClientCommand.RequestWith, sequence, oldest, 1_000, EMPTY),
    [body],
  );
}

function replies(answers: readonly (readonly [tag: number, body: string])[]): Buffer[] {
  return numbered(
    answers.map(([tag]) => [tag]),
    answers.map(([, body]) => body),
    Buffer.from("SHLW01\x0f"),
  );
}

/** A broker with a hand on its turns. */
class Host {
  readonly sent: Buffer[][] = [];
  readonly events: MajordomoBrokerEvent[] = [];
  readonly gone = new Set<string>();
  copies = true;
  flushes = 0;
  readonly rules: BrokerRules;
  readonly #ids = new Map<string, Buffer>();

  constructor(limits: Partial<MajordomoBrokerLimits> = {}) {
    this.rules = new BrokerRules(
      resolveBrokerLimits(limits),
      {
        send: (message): SendResult => {
          const bytes = message.map((frame) => Buffer.from(frame as Buffer));
          if (this.gone.has(String(bytes[0]))) return "gone";
          this.sent.push(bytes);
          return "sent";
        },
        reusesHeads: true,
        joins: () => this.copies,
        flushSoon: () => {
          this.flushes += 1;
        },
        event: (event) => void this.events.push(event),
      },
      Buffer.alloc(8, 1),
      0,
      0,
    );
  }

  hear(from: string, message: Frames, now = 0): void {
    const id = this.#idOf(from);
    this.rules.receive(id, parseAtBroker([id, ...message.map((frame) => Buffer.from(frame as Buffer))]), now);
  }

  /** The same for frames that are parts of one chunk that was received. */
  hearInOne(from: string, message: readonly Buffer[]): void {
    const chunk = Buffer.concat([...message, Buffer.alloc(10_000)]);
    let start = 0;
    const frames = message.map(({ length }) => {
      start += length;
      return chunk.subarray(start - length, start);
    });
    this.rules.receive(this.#idOf(from), parseAtBroker([this.#idOf(from), ...frames]), 0);
  }

  #idOf(name: string): Buffer {
    const id = this.#ids.get(name) ?? Buffer.from(name);
    this.#ids.set(name, id);
    return id;
  }

  hire(name: string, concurrency: number, level = 4, now = 0): void {
    const room = { concurrency, capacity: concurrency };
    this.hear(name, readyMessage(Dialect.Shoal, Buffer.from("echo"), room, name, level), now);
  }

  /** What was sent to a peer since the last look, its commands. */
  to(peer: string): Buffer[][] {
    const found = this.sent.filter(([to]) => String(to) === peer).map((message) => message.slice(1));
    const others = this.sent.filter(([to]) => String(to) !== peer);
    this.sent.splice(0, this.sent.length, ...others);
    return found;
  }

  /** What a worker was given since the last look: in how many messages, and each request. */
  given(worker: string): { messages: number; deliveries: Delivery[] } {
    const deliveries: Delivery[] = [];
    const messages = this.to(worker);
    for (const message of messages) {
      const input = parseAtWorker(message);
      if (input.kind === "request") deliveries.push(input);
      else if (input.kind === "requests") input.each((delivery) => deliveries.push(delivery));
    }
    return { messages: messages.length, deliveries };
  }

  answers(client: string): { commands: (number | undefined)[]; texts: string[] } {
    const messages = this.to(client);
    const texts = messages.flatMap((message) => {
      const input = parseAtClient(message);
      if (input.kind === "error") return [`${input.sequence}=${input.reason}`];
      if (input.kind === "answer") return [`${input.sequence}=${input.body.join("|")}`];
      if (input.kind !== "answers") return [];
      let from = 0;
      return Array.from({ length: input.index.length / 6 }, (_, i) => {
        const to = from + input.index.readUInt16BE(6 * i + 4);
        const text = `${input.base + input.index.readUInt32BE(6 * i)}=${input.bodies.subarray(from, to)}`;
        from = to;
        return text;
      });
    });
    return { commands: messages.map(([head]) => head?.[6]), texts };
  }
}

const bodiesOf = (deliveries: readonly Delivery[]): string[] => deliveries.map(({ body }) => String(body[0]));
const tagsOf = (deliveries: readonly Delivery[]): number[] => deliveries.map(({ tag }) => tag);

describe("a broker", () => {
  it("passes a run on as one message to each worker, and the answers as one to the client", () => {
    const host = new Host();
    host.hire("w1", 3);
    host.to("w1");
    host.hear("c1", requests(7, ["a", "", "ccc"]));
    expect(host.to("w1")).toEqual([]);
    host.rules.flush(0);
    const { messages, deliveries } = host.given("w1");
    expect([messages, bodiesOf(deliveries)]).toEqual([1, ["a", "", "ccc"]]);
    const [t1 = 0, t2 = 0, t3 = 0] = tagsOf(deliveries);
    host.hear(
      "w1",
      replies([
        [t3, "C"],
        [t1, "A"],
        [t2, ""],
      ]),
    );
    host.rules.flush(0);
    expect(host.answers("c1")).toEqual({ commands: [Command.Answers], texts: ["9=C", "7=A", "8="] });
    expect(host.rules.stats()).toMatchObject({ requests: 3, answered: 3, inFlight: 0, queued: 0 });
  });

  it("splits a run by the room of its workers, and keeps the rest in order", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.hear("c1", requests(1, ["a", "b", "c", "d", "e"]));
    host.rules.flush(0);
    const first = host.given("w1").deliveries;
    expect(bodiesOf(first)).toEqual(["a", "b"]);
    expect(host.rules.stats()).toMatchObject({ queued: 3, queuedBytes: 3, inFlight: 2 });
    host.hear("w1", replies(tagsOf(first).map((tag) => [tag, "x"])));
    host.rules.flush(0);
    const { messages, deliveries } = host.given("w1");
    expect([messages, bodiesOf(deliveries)]).toEqual([1, ["c", "d"]]);
  });

  it("gives a worker of level 3 each request alone, and a client that asks alone each answer alone", () => {
    const host = new Host();
    host.hire("w1", 3, 3);
    host.to("w1");
    host.hear("c1", requests(1, ["a", "b"]));
    host.hear("c1", single(3, "c", 1));
    host.rules.flush(0);
    const messages = host.to("w1");
    expect(messages.map(([head]) => head?.[6])).toEqual([
      Command.Delivery,
      Command.Delivery,
      Command.Delivery,
    ]);
    const tags = messages.map(([head]) => head?.readUInt32BE(7) ?? 0);
    host.hear("w1", replies(tags.map((tag, i) => [tag, String(i)])));
    host.rules.flush(0);
    expect(host.answers("c1")).toEqual({
      commands: [Command.Final, Command.Answers],
      texts: ["3=2", "1=0", "2=1"],
    });
  });

  it("gives a run of one as the request that it is", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.to("w1");
    host.hear("c1", requests(5, ["a"], 2, 500), 10);
    host.rules.flush(10);
    const [[head = EMPTY, body] = []] = host.to("w1");
    expect([head[6], attemptIn(head), String(body)]).toEqual([Command.Delivery, 1, "a"]);
    host.hear("w1", replies([[head.readUInt32BE(7), "A"]]), 10);
    host.rules.flush(10);
    expect(host.answers("c1")).toEqual({ commands: [Command.Final], texts: ["5=A"] });
  });

  it("gives what its worker was lost with to another, alone and as a second attempt", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.to("w1");
    host.hear("c1", requests(1, ["a", "b"]));
    host.rules.flush(0);
    expect(host.given("w1").deliveries).toHaveLength(2);
    host.hire("w2", 2);
    host.to("w2");
    host.hear("w1", ["SHLW01\x06"]);
    host.rules.flush(0);
    const messages = host.to("w2");
    expect(messages.map(([head = EMPTY]) => [head[6], attemptIn(head)])).toEqual([
      [Command.Delivery, 2],
      [Command.Delivery, 2],
    ]);
    expect(host.rules.stats()).toMatchObject({ redelivered: 2, inFlight: 2 });
  });

  it("a run that its worker never had is no delivery", () => {
    const host = new Host({ maxDeliveries: 1 });
    host.hire("w1", 2);
    host.hear("c1", requests(1, ["a", "b"]));
    host.gone.add("w1");
    host.hire("w2", 2);
    host.to("w2");
    host.rules.flush(0);
    host.rules.flush(0);
    const { messages, deliveries } = host.given("w2");
    expect([messages, bodiesOf(deliveries)]).toEqual([1, ["a", "b"]]);
    expect(host.rules.stats()).toMatchObject({ workers: 1, failed: 0, inFlight: 2, redelivered: 0 });
    expect(host.events.filter(({ type }) => type === "request:redelivered")).toEqual([]);
    // The same where it left before its run did.
    const other = new Host({ maxDeliveries: 1 });
    other.hire("w1", 2);
    other.to("w1");
    other.hear("c1", requests(1, ["a", "b"]));
    other.hear("w1", ["SHLW01\x06"]);
    other.hire("w2", 2);
    other.to("w2");
    other.rules.flush(0);
    expect(other.given("w1").messages).toBe(0);
    expect(bodiesOf(other.given("w2").deliveries)).toEqual(["a", "b"]);
    expect(other.rules.stats()).toMatchObject({ failed: 0, inFlight: 2, redelivered: 0 });
  });

  it("a request that is cancelled as its run cannot leave ends, and goes to no other worker", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.hear("c1", requests(1, ["a", "b"]));
    host.gone.add("w1");
    host.hire("w2", 2);
    host.to("w2");
    host.hear("c1", cancelMessage(requestHeadWith(TEMPLATE, ClientCommand.Request, 1, 1, 0, EMPTY)));
    host.rules.flush(0);
    expect(bodiesOf(host.given("w2").deliveries)).toEqual(["b"]);
    expect(host.rules.stats()).toMatchObject({ workers: 1, abandoned: 1, inFlight: 1, redelivered: 0 });
  });

  it("cancels a request behind the run that it is in", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.to("w1");
    host.hear("c1", requests(1, ["a", "b"]));
    host.hear("c1", cancelMessage(requestHeadWith(TEMPLATE, ClientCommand.Request, 2, 1, 0, EMPTY)));
    const messages = host.to("w1");
    expect(messages.map(([head]) => head?.[6])).toEqual([Command.Deliveries, 8]);
    host.rules.flush(0);
    expect(host.to("w1")).toEqual([]);
  });

  it("answers a repetition alone or in a run with what it has kept, and handles none again", () => {
    const host = new Host();
    host.hire("w1", 3);
    host.to("w1");
    host.hear("c1", requests(1, ["a", "b"]));
    host.rules.flush(0);
    const tags = tagsOf(host.given("w1").deliveries);
    host.hear("w1", replies(tags.map((tag, i) => [tag, `A${i}`])));
    host.rules.flush(0);
    host.to("c1");
    host.hear("c1", single(2, "b", 1));
    host.hear("c1", requests(1, ["a", "b", "c"], 1));
    host.rules.flush(0);
    expect(host.answers("c1").texts).toEqual(["2=A1", "1=A0", "2=A1"]);
    expect(bodiesOf(host.given("w1").deliveries)).toEqual(["c"]);
    expect(host.rules.stats()).toMatchObject({ duplicates: 3, requests: 3 });
  });

  it("a request that came alone and is repeated in a run is answered in one, and the other way round", () => {
    const host = new Host();
    host.hire("w1", 4);
    host.to("w1");
    host.hear("c1", single(1, "a"));
    host.hear("c1", single(2, "b", 1));
    host.hear("c1", requests(3, ["c", "d"], 1));
    host.hear("c1", requests(1, ["a", "b"], 1));
    host.hear("c1", single(3, "c", 1));
    host.hear("c1", single(4, "d", 1));
    host.rules.flush(0);
    const given = host.given("w1").deliveries;
    expect(bodiesOf(given)).toEqual(["a", "b", "c", "d"]);
    host.hear("w1", replies(given.map(({ tag, body }) => [tag, `of ${body}`])));
    host.rules.flush(0);
    expect(host.answers("c1")).toEqual({
      commands: [Command.Final, Command.Final, Command.Answers],
      texts: ["3=of c", "4=of d", "1=of a", "2=of b"],
    });
  });

  it("a request that is repeated in a run has the time that it had", () => {
    const host = new Host();
    host.hire("w1", 1);
    host.hear("c0", single(1, "first"));
    host.rules.flush(0);
    const [tag = 0] = tagsOf(host.given("w1").deliveries);
    host.hear("c1", requests(2, ["a", "b"], 1, 3_000));
    host.hear("c1", requests(2, ["a", "b"], 1, 1_000), 2_000);
    host.hear("w1", replies([[tag, "x"]]), 2_100);
    host.rules.flush(2_100);
    const given = host.given("w1").deliveries;
    expect(given.map(({ body, head }) => [String(body[0]), head.readUInt32BE(head.length - 4)])).toEqual([
      ["a", 900],
    ]);
  });

  it.each([
    [1_000_000, 0],
    [100_000, 10],
  ])("of %i bytes that may wait lets a run's members hold it as long as that is no more", (maxQueueBytes, own) => {
    const host = new Host({ maxQueueBytes, noServiceTimeout: 1_000 });
    const bodies = Array.from({ length: 10 }, (_, i) => `${i}`.repeat(1_000));
    const message = requests(1, bodies);
    const made = vi.spyOn(Buffer, "allocUnsafeSlow");
    onTestFinished(() => made.mockRestore());
    host.hear("c1", message);
    expect(made.mock.calls.filter(([bytes]) => bytes === 1_000)).toHaveLength(own);
    host.hire("w1", 10);
    host.rules.flush(0);
    expect(bodiesOf(host.given("w1").deliveries)).toEqual(bodies);
  });

  it("past those bytes, what it keeps of a run holds nothing else that came with it", () => {
    const begun = vi.spyOn(RequestMemory.prototype, "begin");
    onTestFinished(() => begun.mockRestore());
    const host = new Host({ maxQueueBytes: 10_000 });
    host.hire("w1", 1);
    host.hear("c1", single(1, "with a worker"));
    host.hearInOne("c1", requests(1, ["with a worker", "a", "bb"]));
    const kept = begun.mock.calls.map(([, , entry]) => entry as BrokerRequest);
    expect(kept.map(({ source }) => [source.length, source.buffer.byteLength])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
    const runHead = TEMPLATE.length;
    expect(kept.map((request) => request.runHead.buffer.byteLength)).toEqual([runHead, runHead, runHead]);
  });

  it("keeps nothing of a run that repeats what is answered", () => {
    const begun = vi.spyOn(RequestMemory.prototype, "begin");
    onTestFinished(() => begun.mockRestore());
    const host = new Host();
    host.hire("w1", 1);
    host.to("w1");
    host.hear("c1", single(1, "a"));
    host.hear("w1", replies(tagsOf(host.given("w1").deliveries).map((tag) => [tag, "A"])));
    host.hearInOne("c1", requests(1, ["a"]));
    expect(host.answers("c1").texts).toEqual(["1=A", "1=A"]);
    expect((begun.mock.calls[0]?.[2] as BrokerRequest).runHead).toBe(EMPTY);
  });

  it("bounds a run's members as if each came alone", () => {
    const host = new Host({ maxQueue: 2, maxQueueBytes: 1_000, noServiceTimeout: 1_000 });
    host.hear("c1", requests(1, ["a", "b", "c"]));
    host.rules.flush(0);
    expect(host.answers("c1").texts).toEqual(["3=overloaded"]);
    host.hear("c2", requests(9, ["x".repeat(600)], 1));
    expect(host.answers("c2").texts).toEqual(["9=too-large"]);
    expect(host.rules.stats()).toMatchObject({ queued: 2, failed: 2 });
    host.rules.tick(20_000);
    expect(host.answers("c1").texts).toEqual(["1=no-service", "2=no-service"]);
    host.rules.drain();
    host.hear("c1", requests(4, ["d", "e"]));
    expect(host.answers("c1").texts).toEqual(["4=stopping", "5=stopping"]);
  });

  it("a client that is gone when its answers leave has them counted as dropped", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.to("w1");
    host.hear("c1", requests(1, ["a", "b"]));
    host.rules.flush(0);
    host.hear("w1", replies(tagsOf(host.given("w1").deliveries).map((tag) => [tag, "x"])));
    host.gone.add("c1");
    host.rules.flush(0);
    expect(host.rules.stats()).toMatchObject({ answered: 2, repliesDropped: 2 });
    expect(host.events.filter(({ type }) => type === "reply:dropped")).toHaveLength(2);
  });

  it("a worker's answers that nobody waits for are late, one by one", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.hire("w2", 2);
    host.hear("c1", requests(1, ["a"]));
    host.rules.flush(0);
    const [tag = 0] = tagsOf(host.given("w1").deliveries);
    host.hear("w2", replies([[tag, "not mine"]]));
    host.hear(
      "w1",
      replies([
        [tag, "mine"],
        [tag, "again"],
        [99, "never"],
      ]),
    );
    host.rules.flush(0);
    expect(host.answers("c1").texts).toEqual(["1=mine"]);
    expect(host.rules.stats()).toMatchObject({ answered: 1, late: 3 });
  });

  it("an answer in a run ends a request that was cancelled, and one of which its worker has sent pieces", () => {
    const host = new Host();
    host.hire("w1", 3);
    host.to("w1");
    host.hear("c1", requests(1, ["a", "b", "c"]));
    host.rules.flush(0);
    const given = host.given("w1").deliveries;
    host.hear("c1", cancelMessage(requestHeadWith(TEMPLATE, ClientCommand.Request, 1, 1, 0, EMPTY)));
    host.hear("w1", replyMessage(given[1] as Delivery, false, ["B"], 0));
    host.hear("w1", replies(tagsOf(given).map((tag) => [tag, "x"])));
    host.rules.flush(0);
    expect(host.answers("c1").texts).toEqual(["2=B", "2=incomplete", "3=x"]);
    expect(host.rules.stats()).toMatchObject({ answered: 1, abandoned: 1, failed: 1, inFlight: 0 });
  });

  it("gathers for 16 workers and clients at most", () => {
    const host = new Host();
    for (let i = 0; i < 40; i++) host.hire(`w${i}`, 1);
    for (let i = 0; i < 40; i++) host.to(`w${i}`);
    const echo = Buffer.from("echo");
    for (let i = 0; i < 40; i++)
      host.hear(`c${i}`, requests(1, ["a"], 1, 1_000, headTemplateWith(Buffer.alloc(8, i), echo)));
    expect(host.sent.length).toBe(24);
    host.rules.flush(0);
    expect(host.sent.length).toBe(40);
    const tags = Array.from({ length: 40 }, (_, i) => tagsOf(host.given(`w${i}`).deliveries));
    tags.forEach(([tag = 0], i) => void host.hear(`w${i}`, replies([[tag, "A"]])));
    expect(host.sent.length).toBe(24);
    host.rules.flush(0);
    for (let i = 0; i < 40; i++) expect(host.answers(`c${i}`).texts).toEqual(["1=A"]);
  });

  it("keeps what it sends to itself when somebody begins to observe it", () => {
    const host = new Host();
    const kept: Frames[] = [];
    const rules = new BrokerRules(
      resolveBrokerLimits({}),
      {
        send: (message): SendResult => {
          kept.push(message);
          return "sent";
        },
        reusesHeads: true,
        joins: () => host.copies,
        flushSoon: () => undefined,
        event: () => undefined,
      },
      Buffer.alloc(8, 1),
      0,
      0,
    );
    const hear = (from: Buffer, message: Frames): void =>
      rules.receive(from, parseAtBroker([from, ...(message as Buffer[])]), 0);
    const [w1, c1] = [Buffer.from("w1"), Buffer.from("c1")];
    hear(
      w1,
      readyMessage(Dialect.Shoal, Buffer.from("echo"), { concurrency: 9, capacity: 9 }, "w", 4).map((frame) =>
        Buffer.from(frame as Buffer),
      ),
    );
    hear(c1, requests(1, ["a", "b"]));
    host.copies = false;
    rules.flush(0);
    const seen = (kept[0] as Buffer[]).map((frame) => frame.toString("hex"));
    host.copies = true;
    hear(c1, requests(3, ["c", "d"]));
    rules.flush(0);
    expect((kept[0] as Buffer[]).map((frame) => frame.toString("hex"))).toEqual(seen);
  });
});

describe("a malformed run is a fault, and none of it is handled:", () => {
  const [head = EMPTY, index = EMPTY, bodies = EMPTY] = requests(1, ["ab", "cd"]);
  const upper = Buffer.from(head);
  upper.writeUInt32BE(0x20_0000, 15);
  const noService = Buffer.concat([Buffer.from("SHLC01\x0e"), Buffer.alloc(20), Buffer.of(0, 0, 0, 0, 0)]);
  const mmi = requestHeadWith(
    headTemplateWith(KEY, Buffer.from("mmi.service")),
    ClientCommand.Requests,
    1,
    1,
    0,
    EMPTY,
  );
  const cases: [string, Buffer[]][] = [
    ["no index", [head]],
    ["no bodies", [head, index]],
    ["a frame too many", [head, index, bodies, bodies]],
    ["no member", [head, EMPTY, EMPTY]],
    ["bodies without members", [head, EMPTY, bodies]],
    ["an index that is cut off", [head, index.subarray(0, 11), bodies]],
    ["bodies that are cut off", [head, index, bodies.subarray(0, 3)]],
    ["bodies that are too long", [head, index, Buffer.concat([bodies, bodies])]],
    [
      "bodies of more bytes than a run has",
      [head, Buffer.from("000000013c01", "hex"), Buffer.alloc(MAX_RUN_BYTES + 1)],
    ],
    [
      "more members than a run has",
      [head, Buffer.concat(Array.from({ length: MAX_RUN_MEMBERS + 1 }, () => Buffer.alloc(6))), EMPTY],
    ],
    ["lengths past the bodies", [head, Buffer.alloc(12, 0xff), bodies]],
    ["a head that is cut off", [head.subarray(0, 20), index, bodies]],
    ["a head without time", [head.subarray(0, head.length - 4), index, bodies]],
    ["a head with headers", [Buffer.concat([head, Buffer.of(1, 97, 0, 0)]), index, bodies]],
    ["no service", [noService, index, bodies]],
    ["numbers past 2^53", [upper, index, bodies]],
    ["a service of the broker's own", [mmi, index, bodies]],
  ];
  it.each(cases)("of requests, %s", (_, message) => {
    const host = new Host();
    host.hire("w1", 9);
    host.to("w1");
    host.hear("c1", message);
    host.rules.flush(0);
    expect(host.events.filter(({ type }) => type === "peer:invalid")).toHaveLength(1);
    expect(host.rules.stats()).toMatchObject({ requests: 0, faults: 1 });
    expect(host.sent).toEqual([]);
  });

  it("of replies, and its worker is sent away", () => {
    const host = new Host();
    host.hire("w1", 2);
    host.hear("c1", requests(1, ["a", "b"]));
    host.rules.flush(0);
    const [t1 = 0, t2 = 0] = tagsOf(host.given("w1").deliveries);
    const [replyHead = EMPTY, tags = EMPTY] = replies([
      [t1, "a"],
      [t2, "b"],
    ]);
    host.hear("w1", [replyHead, tags, Buffer.from("a")]);
    host.rules.flush(0);
    expect(host.rules.stats()).toMatchObject({ faults: 1, workers: 0, answered: 0, queued: 2 });
    host.hear("w3", replies([[t1, "a"]]));
    expect(host.rules.stats()).toMatchObject({ faults: 2, answered: 0 });
  });

  it("at a client, and at a worker", () => {
    const answerHead = Buffer.concat([Buffer.from("SHLC01\x0f"), Buffer.alloc(16)]);
    const runHead = Buffer.concat([Buffer.from("SHLW01\x0e"), Buffer.alloc(20)]);
    const entry = Buffer.alloc(14);
    entry[13] = 1;
    expect(parseAtClient([answerHead, index, bodies]).kind).toBe("answers");
    expect(parseAtWorker([runHead, entry, Buffer.from("a")]).kind).toBe("requests");
    for (const bad of [
      [answerHead.subarray(0, 22), index, bodies],
      [answerHead, index],
      [answerHead, index, bodies.subarray(1)],
      [answerHead, EMPTY, EMPTY],
    ])
      expect(parseAtClient(bad).kind).toBe("fault");
    const far = Buffer.from(runHead);
    far.writeUInt32BE(0x20_0000, 15);
    for (const bad of [
      [runHead.subarray(1), entry, Buffer.from("a")],
      [runHead.subarray(0, 26), entry, Buffer.from("a")],
      [far, entry, Buffer.from("a")],
      [runHead, entry.subarray(1), Buffer.from("a")],
      [runHead, entry, Buffer.from("ab")],
      [runHead, entry],
    ])
      expect(parseAtWorker(bad).kind).toBe("fault");
  });
});

/** A client of one broker of this level. */
function clientOf(level: number, joins = true) {
  const sent: [connection: number, message: Buffer[]][] = [];
  const ended: string[] = [];
  let flushes = 0;
  const rules = new ClientRules(
    {
      endpoints: ["a", "b"],
      dialect: undefined,
      heartbeatInterval: 100,
      liveness: 3,
      maxInFlight: 1_000,
      maxPending: 10,
      maxPendingBytes: 1_000_000,
      maxConnections: 2,
      streamWindow: 65_536,
      maxStreamBytes: 1_048_576,
    },
    {
      open: () => undefined,
      close: () => undefined,
      send: (connection, message) => {
        sent.push([connection, message.map((frame) => Buffer.from(frame as Buffer))]);
        return true;
      },
      reusesHeads: () => true,
      joins: () => joins,
      flushSoon: () => {
        flushes += 1;
      },
      event: () => undefined,
    },
    KEY,
    () => 1,
  );
  rules.start(0);
  const negotiate = (connection: number): void => {
    const incarnation = Buffer.alloc(8, connection);
    const input = { kind: "negotiated", extended: true, incarnation, level, heartbeatInterval: 100 };
    rules.receive(connection, input as ClientInput, 0);
    sent.splice(0);
  };
  negotiate(1);
  const services = new Map<string, ReturnType<typeof rules.service>>();
  const ask = (body: string | Buffer, more: { service?: string; headers?: Buffer; total?: number } = {}) => {
    const { service = "echo", headers = EMPTY, total = 0 } = more;
    const called = services.get(service) ?? rules.service(service);
    services.set(service, called);
    return rules.submit(
      called,
      [body],
      { timeout: 0, retries: 1, total, headers },
      {
        answer: (frames) => {
          ended.push(frames.join("|"));
          return "read";
        },
        failed: (error) => ended.push(error.message),
      },
      0,
    );
  };
  return {
    rules,
    ended,
    ask,
    negotiate,
    said: () => sent.splice(0).map(([connection, message]) => [connection, ...message] as const),
    get flushes() {
      return flushes;
    },
  };
}

describe("a client", () => {
  it("sends what it is asked in a turn together, one alone as ever", () => {
    const client = clientOf(4);
    client.ask("a");
    client.ask(Buffer.from("bb"));
    client.ask("ü");
    expect([client.said(), client.flushes]).toEqual([[], 1]);
    client.rules.flush();
    const [[connection, head, index, bodies] = []] = client.said();
    expect([connection, (head as Buffer)[6], String(bodies)]).toEqual([1, Command.Requests, "abbü"]);
    expect((index as Buffer).toString("hex")).toBe("000000010001" + "000000020002" + "000000030002");
    client.ask("d");
    client.rules.flush();
    expect(client.said().map(([, alone, body]) => [alone?.[6], String(body)])).toEqual([
      [Command.Request, "d"],
    ]);
    client.rules.flush();
    expect(client.said()).toEqual([]);
  });

  it("sends alone to a broker of level 3, what has headers or is large, and what is for the broker itself", () => {
    const old = clientOf(3);
    old.ask("a");
    expect(old.said()).toHaveLength(1);
    expect(clientOf(4, false).ask("a")).toBeDefined();
    const client = clientOf(4);
    client.ask("a", { headers: Buffer.from("016100013", "hex") });
    client.ask("x".repeat(MAX_RUN_BODY));
    client.ask(Buffer.alloc(MAX_RUN_BODY + 1));
    client.ask("echo", { service: "mmi.service" });
    expect([client.said().length, client.flushes]).toEqual([4, 0]);
    client.ask(Buffer.alloc(MAX_RUN_BODY));
    expect([client.said().length, client.flushes]).toEqual([0, 1]);
    client.rules.flush();
  });

  it("sends what goes alone after what was asked before it, and services in the order in which they were asked", () => {
    const client = clientOf(4);
    client.ask("a");
    client.ask("b");
    client.ask(Buffer.alloc(MAX_RUN_BODY + 1, "c"));
    client.ask("d");
    client.ask("e", { service: "other" });
    client.rules.flush();
    expect(client.said().map((message) => String(message.at(-1)).slice(0, 2))).toEqual([
      "ab",
      "cc",
      "d",
      "e",
    ]);
  });

  it("has a run for each service and each time that is left, bounded in members and in bytes", () => {
    const client = clientOf(4);
    for (let i = 0; i < 6; i++)
      client.ask(`${i}`, { service: i % 2 === 0 ? "even" : "odd", total: i < 4 ? 0 : 500 });
    client.rules.flush();
    const texts = client.said().map((message) => String(message.at(-1)));
    expect(texts.sort()).toEqual(["02", "13", "4", "5"]);
    for (let i = 0; i <= MAX_RUN_MEMBERS; i++) client.ask("");
    expect(client.said()).toHaveLength(1);
    client.rules.flush();
    client.said();
    for (let bytes = 0; bytes <= MAX_RUN_BYTES; bytes += MAX_RUN_BODY) client.ask(Buffer.alloc(MAX_RUN_BODY));
    expect(client.said()).toHaveLength(1);
    client.rules.flush();
  });

  it("settles each call of a run of answers, and knows no other", () => {
    const client = clientOf(4);
    client.ask("a");
    client.ask("b");
    client.rules.flush();
    const answerHead = Buffer.concat([Buffer.from("SHLC01\x0f"), Buffer.alloc(16)]);
    const message = numbered([[2], [1], [2], [7]], ["B", "", "again", "never"], answerHead);
    client.rules.receive(1, parseAtClient(message), 0);
    expect(client.ended).toEqual(["B", ""]);
    expect(client.rules.stats()).toMatchObject({ answered: 2, late: 2, inFlight: 0 });
  });

  it("cancels behind the run, and asks again over another connection what was in one", () => {
    const client = clientOf(4);
    const call = client.ask("a");
    client.ask("b");
    client.rules.cancel(call, 0);
    expect(client.said().map(([, head]) => head?.[6])).toEqual([Command.Requests, ClientCommand.Cancel]);
    client.ask("c");
    client.rules.disconnected(1, 0);
    client.negotiate(2);
    client.rules.flush();
    const asked = client.said().filter(([connection]) => connection === 2);
    expect(asked.map(([, head, , bodies]) => [head?.[6], String(bodies)])).toEqual([
      [Command.Requests, "bc"],
    ]);
  });
});

/** A worker at a broker of this level. */
function workerOf(level: number, starting: () => void = () => undefined) {
  const sent: Buffer[][] = [];
  const started: Delivery[] = [];
  const state = { room: true, flushes: 0 };
  const session = new WorkerSession(
    {
      service: Buffer.from("echo"),
      concurrency: 9,
      capacity: 9,
      name: "w",
      dialect: undefined,
      heartbeatInterval: 1_000,
      liveness: 3,
      reconnectInterval: 100,
      reconnectMaxInterval: 1_000,
    },
    {
      open: () => undefined,
      close: () => undefined,
      send: (message) => void sent.push(message.map((frame) => Buffer.from(frame as Buffer))),
      beat: () => undefined,
      reusesHeads: () => true,
      joins: () => state.room,
      flushSoon: () => {
        state.flushes += 1;
      },
      reply: (message) => {
        sent.push(message.map((frame) => Buffer.from(frame as Buffer)));
        return state.room;
      },
      credit: () => undefined,
      start: (delivery) => {
        started.push(delivery);
        starting();
      },
      cancel: () => undefined,
      joined: () => undefined,
      left: () => undefined,
      fault: () => sent.push([Buffer.from("fault")]),
    },
    () => 0,
  );
  session.start(0);
  const incarnation = Buffer.alloc(8, 1);
  session.receive({ kind: "negotiated", extended: true, incarnation, level, heartbeatInterval: 1_000 }, 0);
  sent.splice(0);
  return { session, started, state, said: () => sent.splice(0) };
}

const NOBODY = { settled: () => undefined };

/** A run for a worker: tags from 1 on. */
function deliveries(bodies: readonly string[]): Buffer[] {
  const head = Buffer.concat([Buffer.from("SHLW01\x0e"), KEY, Buffer.alloc(12)]);
  head.writeUInt32BE(5, 19);
  return numbered(
    bodies.map((_, i) => [i + 1, i + 5, 700 + i]),
    bodies,
    head,
  );
}

describe("a worker", () => {
  it("starts each request of a run with its id, its time and its first attempt", () => {
    const { session, started } = workerOf(4);
    session.receive(parseAtWorker(deliveries(["a", "bb"])), 0);
    expect(bodiesOf(started)).toEqual(["a", "bb"]);
    const [, second] = started as [Delivery, Delivery];
    expect([second.tag, second.sequence, second.oldest, second.repeatable]).toEqual([2, 6, 5, true]);
    expect(second.head.toString("hex")).toBe(
      `53484c5730310b00000002${KEY.toString("hex")}00000000000000060000000101000002bd`,
    );
    expect(session.inFlight).toBe(2);
  });

  it("starts no more of a run when the handler of one has closed it", () => {
    const { session, started } = workerOf(4, () => session.end());
    session.receive(parseAtWorker(deliveries(["a", "bb"])), 0);
    expect([bodiesOf(started), session.inFlight]).toEqual([["a"], 0]);
  });

  it("answers what ends in a turn together, in front of its DISCONNECT, and one alone as ever", () => {
    const { session, started, state, said } = workerOf(4);
    session.receive(parseAtWorker(deliveries(["a", "b", "c", "d"])), 0);
    const [a, b, c, d] = started as [Delivery, Delivery, Delivery, Delivery];
    expect(session.final(b, ["B"], 0, NOBODY)).toBe("sent");
    expect(session.final(a, [Buffer.from("A")], 0, NOBODY)).toBe("sent");
    expect([said(), state.flushes]).toEqual([[], 1]);
    session.flush();
    expect(said()).toEqual([
      replies([
        [2, "B"],
        [1, "A"],
      ]),
    ]);
    session.final(c, ["C"], 0, NOBODY);
    session.flush();
    expect(said().map(([head, body]) => [head?.toString("hex"), String(body)])).toEqual([
      ["53484c5730310400000003", "C"],
    ]);
    session.final(d, ["D"], 0, NOBODY);
    session.end();
    expect(said().map(([head]) => head?.[6])).toEqual([4, 6]);
  });

  it("answers alone where it has no room, at a broker of level 3, and in pieces or frames", () => {
    const { session, started, state, said } = workerOf(4);
    session.receive(parseAtWorker(deliveries(["a", "b", "c"])), 0);
    const [a, b, c] = started as [Delivery, Delivery, Delivery];
    state.room = false;
    expect(session.final(a, ["A"], 0, NOBODY)).toBe("waits");
    state.room = true;
    session.final(b, ["B", "B"], 0, NOBODY);
    session.partial(c, ["C"], 0, NOBODY);
    session.final(c, ["C"], 1, NOBODY);
    expect(said().map(([head]) => head?.[6])).toEqual([4, 4, 3, 4]);
    const old = workerOf(3);
    old.session.receive(parseAtWorker(deliveries(["a"])), 0);
    old.session.final(old.started[0] as Delivery, ["A"], 0, NOBODY);
    expect(old.said().map(([head]) => head?.[6])).toEqual([4]);
  });

  it("answers alone where many others of its process gather already", () => {
    const workers = Array.from({ length: 100 }, () => workerOf(4));
    for (const { session, started } of workers) {
      session.receive(parseAtWorker(deliveries(["a"])), 0);
      session.final(started[0] as Delivery, ["A"], 0, NOBODY);
    }
    expect(workers.filter(({ said }) => said().length === 1)).toHaveLength(36);
    for (const { session } of workers) session.flush();
    expect(workers.filter(({ said }) => said().length === 1)).toHaveLength(64);
  });

  it("has no answers for a broker that it has lost", () => {
    const { session, started, said } = workerOf(4);
    session.receive(parseAtWorker(deliveries(["a", "b"])), 0);
    for (const delivery of started) session.final(delivery, ["x"], 0, NOBODY);
    session.disconnected(1);
    session.flush();
    expect(said()).toEqual([]);
  });
});

const track = closeAfterEach();

async function brokerOf(socketOptions: RouterOptions = {}): Promise<string> {
  return track(new MajordomoBroker({ socketOptions })).bind("tcp://127.0.0.1:*");
}

describe("over sockets", () => {
  it("requests of one turn come to a worker in one message, and its answers to their callers", async () => {
    const endpoint = await brokerOf();
    const worker = track(new Dealer());
    worker.connect(endpoint);
    await worker.send(
      readyMessage(Dialect.Shoal, Buffer.from("echo"), { concurrency: 9, capacity: 9 }, "w", 4),
    );
    const client = track(new MajordomoClient(endpoint));
    await client.ready();
    const asked = ["a", "b", "c"].map((body) => client.request("echo", body, { timeout: 20_000 }));
    const input = parseAtWorker(await worker.receive());
    const given: Delivery[] = [];
    if (input.kind === "requests") input.each((delivery) => given.push(delivery));
    expect(bodiesOf(given)).toEqual(["a", "b", "c"]);
    await worker.send(replies(given.map(({ tag, body }) => [tag, `${body}!`])));
    expect((await Promise.all(asked)).map(String)).toEqual(["a!", "b!", "c!"]);
  });

  it("a worker's answers of one turn come to the client in one message", async () => {
    const endpoint = await brokerOf();
    const worker = track(
      new MajordomoWorker(endpoint, "echo", ([body]) => body as Buffer, { concurrency: 9 }),
    );
    await worker.ready();
    const client = track(new Dealer());
    client.connect(endpoint);
    await client.send(requests(1, ["a", "b", "c"]));
    const input = parseAtClient(await client.receive());
    expect(input.kind === "answers" ? String(input.bodies) : input.kind).toBe("abc");
  });

  it("each request gets its own answer, whatever its size and form, from handlers of any speed", async () => {
    const endpoint = await brokerOf();
    for (const name of ["w1", "w2"]) {
      const echo = async (frames: Buffer[]): Promise<(Buffer | string)[]> => {
        const first = frames[0] as Buffer;
        if (first.length % 3 === 1) await undefined;
        if (first.length % 50 === 7) await new Promise((resolve) => setImmediate(resolve));
        return first.length % 4 === 3 ? frames.map(String) : frames;
      };
      await track(new MajordomoWorker(endpoint, "echo", echo, { concurrency: 16, name })).ready();
    }
    const clients = [1, 2].map(() => track(new MajordomoClient(endpoint)));
    await Promise.all(clients.map((client) => client.ready()));
    const ask = async (client: MajordomoClient, who: number, round: number, i: number): Promise<void> => {
      const text = `${who} ${round} ${i} `.padEnd((i * 37) % 1_300, "xyz");
      const body = i % 11 === 0 ? [text, "second"] : i % 2 === 0 ? text : Buffer.from(text);
      const options = i % 13 === 0 ? { headers: { i: String(i) } } : {};
      const reply = await client.request("echo", body, { timeout: 30_000, ...options });
      expect(reply.map(String)).toEqual(i % 11 === 0 ? [text, "second"] : [text]);
    };
    for (let round = 0; round < 2; round++)
      await Promise.all(
        clients.flatMap((client, who) => Array.from({ length: 300 }, (_, i) => ask(client, who, round, i))),
      );
  });

  const SMALL = { maxMessageSize: 2_000 };
  it.each([
    ["a broker", SMALL, {}, {}],
    ["a worker", {}, SMALL, {}],
    ["a client", {}, {}, SMALL],
    ["a client whose context", {}, {}, { context: new Context({ maxMessageSize: 2_000 }) }],
    ["a worker whose context", {}, { context: new Context({ maxMessageSize: 2_000 }) }, {}],
  ])("%s that takes only small messages gets no runs", async (_, ofBroker, ofWorker, ofClient) => {
    const endpoint = await brokerOf(ofBroker);
    const echo = ([body]: Buffer[]): Buffer => body as Buffer;
    const worker = track(
      new MajordomoWorker(endpoint, "echo", echo, { concurrency: 99, socketOptions: ofWorker }),
    );
    await worker.ready();
    const client = track(new MajordomoClient(endpoint, { socketOptions: ofClient }));
    const body = "x".repeat(500);
    const asked = Array.from({ length: 60 }, () =>
      client.request("echo", body, { timeout: 20_000, retries: 0 }),
    );
    for (const answer of await Promise.all(asked)) expect(String(answer)).toBe(body);
  });
});
