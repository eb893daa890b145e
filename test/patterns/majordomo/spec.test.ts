/** docs/spec/majordomo.md: its vectors are what this code writes, and what it reads. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { z } from "zod";
import { defineService, serviceClient } from "../../../src/patterns/kit/contract.js";
import * as client from "../../../src/patterns/majordomo/client-messages.js";
import {
  answerRunHead,
  attemptIn,
  deliveryRunHead,
  deliveryTime,
  encodeHeaders,
  headersIn,
  headTemplate,
  headTemplateWith,
  NO_LIMIT,
  requestHead,
  requestHeadWith,
} from "../../../src/patterns/majordomo/header.js";
import { ClientCommand, Dialect, EMPTY, type Frames } from "../../../src/patterns/majordomo/protocol.js";
import { RunWriter } from "../../../src/patterns/majordomo/runs.js";
import * as worker from "../../../src/patterns/majordomo/worker-messages.js";

const { Shoal } = Dialect;
const KEY = Buffer.from("c1c2c3c4c5c6c7c8", "hex");
const ECHO = Buffer.from("echo");
const HI = [Buffer.from("hi")];
const PEER = Buffer.from("peer");
const HEADERS = encodeHeaders({ trace: "a1" });
const PLAIN = requestHead(headTemplate(KEY, ECHO), ClientCommand.Request, 5, 3);
const TEMPLATE = headTemplateWith(KEY, ECHO);
const WITH = requestHeadWith(TEMPLATE, ClientCommand.RequestWith, 5, 3, 30_000, HEADERS);
const TO_CLIENT = { client: PEER, dialect: Shoal, head: PLAIN };
const ROOM = { concurrency: 2, capacity: 7 };
const ATTEMPT = 2;
const WAITED = 10;
const DELIVERY = worker.delivery(PEER, Shoal, 9, PLAIN, HI, 0)[1] as Buffer;
const DELIVERY_WITH = worker.delivery(PEER, Shoal, 9, WITH, HI, 0, ATTEMPT, WAITED)[1] as Buffer;

/** The body of a contract's method `say`, called with `hi`. */
function call(): Buffer[] {
  let body: Buffer[] = [];
  const echo = defineService({ name: "echo", methods: { say: { request: z.string(), reply: z.string() } } });
  const service = serviceClient(echo, {
    async request(frames, decode) {
      body = frames.map((frame) => Buffer.from(frame as Uint8Array));
      return decode(body.slice(1));
    },
  });
  void service.say("hi");
  return body;
}

const RUN = requestHeadWith(TEMPLATE, ClientCommand.Requests, 5, 3, 30_000, EMPTY);

/** Of `hi` and `ho!`. @param numbers of each in the index */
function run(numbers: readonly [readonly number[], readonly number[]], head: Buffer): Frames {
  const writer = new RunWriter();
  ["hi", "ho!"].forEach((body, i) => {
    for (const number of numbers[i] ?? []) writer.number(number);
    writer.body(body);
  });
  return writer.message([Buffer.from(head)]);
}

/** By their names in the page. What is sent to a peer begins with its routing id, which is not in a message of its own. */
const VECTORS: Record<string, Frames> = {
  "the question": client.negotiation("worker"),
  "whether it serves": client.servingQuestion(),
  "a request": client.extendedRequest(PLAIN, HI),
  "a call of a method": client.extendedRequest(PLAIN, call()),
  "a request with headers": client.extendedRequest(WITH, HI),
  cancel: client.cancelMessage(PLAIN),
  "a client's credit": client.creditMessage(PLAIN, 8_192),
  "a client's heartbeat": client.heartbeatMessage(),
  "a broker's heartbeat": client.clientHeartbeat(PEER, Buffer.from("0102030405060708", "hex")).slice(1),
  "an answer": client.answer(TO_CLIENT, true, ECHO, HI, 0).slice(1),
  "the first piece": client.answer(TO_CLIENT, false, ECHO, HI, 0, 0).slice(1),
  "the end after 2 pieces": client.answer(TO_CLIENT, true, ECHO, [], 0, 2).slice(1),
  "an error": client.refusal(TO_CLIENT, ECHO, "worker-failed", "no", Buffer.from('{"code":"E"}')).slice(1),
  "the request waits": client.waiting(TO_CLIENT, true).slice(1),
  READY: worker.readyMessage(Shoal, ECHO, ROOM, "w1"),
  "READY, level 2": worker.readyMessage(Shoal, ECHO, ROOM, "w1", 2),
  REQUEST: worker.delivery(PEER, Shoal, 9, PLAIN, HI, 0).slice(1),
  "REQUEST, of a plain client": worker.delivery(PEER, Shoal, 9, EMPTY, HI, 0).slice(1),
  "REQUEST, level 2": worker.delivery(PEER, Shoal, 9, WITH, HI, 0, ATTEMPT, WAITED).slice(1),
  "REQUEST, level 2, of a plain client": worker
    .delivery(PEER, Shoal, 9, EMPTY, HI, 0, ATTEMPT, WAITED)
    .slice(1),
  PARTIAL: worker.replyMessage(new worker.Delivery(Shoal, DELIVERY, [], [], 9), false, HI, 0),
  FINAL: worker.replyMessage(new worker.Delivery(Shoal, DELIVERY, [], [], 9), true, HI, 0),
  "FINAL after 2 pieces": worker.replyMessage(
    new worker.Delivery(Shoal, DELIVERY_WITH, [], [], 9),
    true,
    [],
    2,
  ),
  FAILURE: worker.failureMessage(DELIVERY, "worker-failed", "no"),
  "FAILURE, level 2": worker.failureMessage(
    DELIVERY_WITH,
    "worker-failed",
    "no",
    Buffer.from('{"code":"E"}'),
  ),
  RETURN: worker.returnMessage(DELIVERY),
  "a run of requests": run(
    [[5], [6]],
    requestHeadWith(TEMPLATE, ClientCommand.Requests, 5, 3, 30_000, EMPTY),
  ),
  "a run of answers": run([[5], [6]], answerRunHead(RUN, 5)),
  "a run of REQUESTs": run(
    [
      [9, 5, 30_000],
      [10, 6, 30_000],
    ],
    deliveryRunHead(RUN, 5, 3),
  ),
  "a run of replies": run([[9], [10]], Buffer.from("SHLW01\x0f")),
  HEARTBEAT: worker.signalMessage(Shoal, "Heartbeat"),
  DISCONNECT: worker.signalMessage(Shoal, "Disconnect"),
  CANCEL: worker.cancellation(PEER, 9).slice(1),
  DRAIN: worker.drainMessage(),
  CREDIT: worker.credit(PEER, 9, 8_192).slice(1),
};

const rows = readFileSync("docs/spec/majordomo.md", "utf8")
  .split("\n")
  .map((line) => /^\| (.+?) \| `([0-9a-f -]+)` \|$/.exec(line))
  .filter((row) => row !== null)
  .map(([, name, frames]) => [name as string, frames as string] as const);

const framesOf = (vector: string): Buffer[] =>
  vector.split(" ").map((frame) => (frame === "-" ? Buffer.alloc(0) : Buffer.from(frame, "hex")));

it("has a vector for each message, and no other", () => {
  expect(rows.map(([name]) => name).sort()).toEqual(Object.keys(VECTORS).sort());
});

it.each(rows)("%s is written as it stands there", (name, vector) => {
  const written = (VECTORS[name] ?? []).map((frame) => Buffer.from(frame as Buffer).toString("hex") || "-");
  expect(written.join(" ")).toBe(vector);
});

it.each(rows)("%s is read by its receiver", (_, vector) => {
  const frames = framesOf(vector);
  const toBroker = worker.parseAtBroker([PEER, ...frames]).kind;
  const others = [client.parseAtClient(frames).kind, worker.parseAtWorker(frames).kind];
  expect([toBroker, ...others].some((kind) => kind !== "fault")).toBe(true);
});

it("what a handler has of level 2 is in the delivery", () => {
  const [, vector = ""] = rows.find(([name]) => name === "REQUEST, level 2") ?? [];
  const [head = EMPTY] = framesOf(vector);
  expect([attemptIn(head), deliveryTime(head), { ...headersIn(head) }]).toEqual([2, 29_990, { trace: "a1" }]);
  const [, old = ""] = rows.find(([name]) => name === "REQUEST") ?? [];
  const [oldHead = EMPTY] = framesOf(old);
  expect([attemptIn(oldHead), deliveryTime(oldHead), { ...headersIn(oldHead) }]).toEqual([1, NO_LIMIT, {}]);
});

it("headers that are cut off are left out, and end nothing", () => {
  const [, vector = ""] = rows.find(([name]) => name === "REQUEST, level 2") ?? [];
  const [head = EMPTY] = framesOf(vector);
  for (let length = head.length - 1; length >= head.length - HEADERS.length; length--)
    expect({ ...headersIn(head.subarray(0, length)) }).toEqual({});
});

it("an end that says no level, or one that does not exist, is one of level 1 or the highest known", () => {
  expect(client.levelIn(undefined)).toBe(1);
  expect([0, 1, 2, 3, 4, 255].map((level) => client.levelIn(Buffer.of(level)))).toEqual([1, 1, 2, 3, 4, 4]);
  expect(client.levelIn(Buffer.from("two"))).toBe(1);
});
