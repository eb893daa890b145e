/** Majordomo's three dialects, whatever is in a message: what is taken has the form that protocol.ts draws. */
import { expect, test } from "vitest";
import * as client from "../../../src/patterns/majordomo/client-messages.js";
import {
  answerRunHead,
  deliveryHead,
  deliveryRunHead,
  encodeHeaders,
  headTemplate,
  headTemplateWith,
  requestHead,
  requestHeadWith,
} from "../../../src/patterns/majordomo/header.js";
import { ClientCommand, Dialect, WorkerCommand } from "../../../src/patterns/majordomo/protocol.js";
import { RunWriter } from "../../../src/patterns/majordomo/runs.js";
import * as worker from "../../../src/patterns/majordomo/worker-messages.js";
import { fuzz, hex, same } from "../messages.js";

const PEER = Buffer.from("peer");
const SERVICE = Buffer.from("echo");
const BODY = [Buffer.from("body"), Buffer.from("more")];
const EMPTY = Buffer.alloc(0);
const ROOM = { concurrency: 2, capacity: 7 };
const DIALECTS = [Dialect.Mdp01, Dialect.Mdp02, Dialect.Shoal] as const;
const HEAD = requestHead(headTemplate(Buffer.alloc(8, 1), SERVICE), ClientCommand.Request, 5, 3);
const DELIVERY = deliveryHead(WorkerCommand.Request, 9, HEAD);
const HEADERS = encodeHeaders({ trace: "abc", empty: "" });
const HEAD_WITH = requestHeadWith(
  headTemplateWith(Buffer.alloc(8, 1), SERVICE),
  ClientCommand.RequestWith,
  5,
  3,
  1_000,
  HEADERS,
);
const TAG = Buffer.of(0, 0, 0, 9);
const RUN_HEAD = requestHeadWith(
  headTemplateWith(Buffer.alloc(8, 1), SERVICE),
  ClientCommand.Requests,
  5,
  3,
  1_000,
  EMPTY,
);

/** A run of two. @param numbers of each in the index */
function run(head: Buffer, numbers: number): Buffer[] {
  const writer = new RunWriter();
  for (const body of BODY) {
    for (let i = 1; i <= numbers; i++) writer.number(i);
    writer.body(body);
  }
  return writer.message([head]) as Buffer[];
}

/** The lengths of an index are those of its bodies. */
function sameLengths(index: Buffer, bodies: Buffer, entry: number): void {
  expect(index.length % entry).toBe(0);
  expect(index.length).toBeGreaterThan(0);
  let bytes = 0;
  for (let end = entry; end <= index.length; end += entry) bytes += index.readUInt16BE(end - 2);
  expect(bytes).toBe(bodies.length);
}

const fromWorkers = DIALECTS.flatMap((dialect) => [
  worker.readyMessage(dialect, SERVICE, ROOM, "name"),
  worker.signalMessage(dialect, "Heartbeat"),
  worker.signalMessage(dialect, "Disconnect"),
  worker.replyMessage(new worker.Delivery(dialect, DELIVERY, [TAG], [], 9), true, BODY, 2),
]);
const fromClients = [
  client.plainRequest(Dialect.Mdp01, SERVICE, BODY),
  client.plainRequest(Dialect.Mdp02, SERVICE, BODY),
  client.extendedRequest(HEAD, BODY),
  client.extendedRequest(HEAD_WITH, BODY),
  client.cancelMessage(HEAD),
  client.creditMessage(HEAD, 1_000),
  client.heartbeatMessage(),
  run(RUN_HEAD, 1),
];
const others = [
  run(Buffer.from("SHLW01\x0f"), 1),
  worker.drainMessage(),
  worker.failureMessage(DELIVERY, "failed", "text"),
  worker.failureMessage(DELIVERY, "failed", "text", Buffer.from("{}")),
  client.negotiation("client"),
  client.negotiation("worker"),
];

test("at a broker", () => {
  fuzz({
    name: "majordomo, at a broker",
    good: [...fromWorkers, ...fromClients, ...others].map((frames) => [PEER, ...frames]),
    bad: [
      { concurrency: 0, capacity: 1 },
      { concurrency: 3, capacity: 2 },
      { concurrency: 1, capacity: 65_536 },
    ].map((room) => [PEER, ...worker.readyMessage(Dialect.Shoal, SERVICE, room, "name")]),
    check: (frames) => {
      const command = worker.parseAtBroker(frames);
      switch (command.kind) {
        case "fault":
          expect([
            "frames",
            "header",
            "command",
            "service",
            "body",
            "id",
            "tag",
            "capacity",
            "headers",
          ]).toContain(command.reason);
          return false;
        case "request":
          expect(command.service.length).toBeGreaterThan(0);
          expect(command.service.length).toBeLessThanOrEqual(255);
          expect(command.body.length).toBeGreaterThan(0);
          same(command.body, frames.slice(-command.body.length));
          if (command.dialect !== Dialect.Shoal)
            same(
              [frames[0] as Buffer, ...client.plainRequest(command.dialect, command.service, command.body)],
              frames,
            );
          break;
        case "partial":
        case "final":
          expect(command.tag).toBeLessThanOrEqual(0xffff_ffff);
          if (command.dialect === Dialect.Shoal)
            same([frames[1] as Buffer, ...command.body], frames.slice(1));
          else same([EMPTY, ...command.body], frames.slice(-command.body.length - 1));
          break;
        case "ready":
          expect(command.service.length).toBeGreaterThan(0);
          expect(command.concurrency).toBeGreaterThan(0);
          expect(command.capacity).toBeGreaterThanOrEqual(command.concurrency);
          expect(command.capacity).toBeLessThanOrEqual(65_535);
          break;
        case "failure":
          expect([command.reason, command.text]).toEqual(frames.slice(2, 4).map(String));
          expect(command.details).toBe(frames[4]);
          break;
        case "requests":
          expect(command.service.length).toBeGreaterThan(0);
          sameLengths(command.index, command.bodies, 6);
          same([command.head, command.index, command.bodies], frames.slice(1));
          break;
        case "replies":
          sameLengths(command.index, command.bodies, 6);
          break;
        case "cancel":
          expect(hex(command.head)).toBe(hex(frames[1] as Buffer));
          break;
        default:
          expect(["heartbeat", "disconnect", "drain", "credit", "client-heartbeat"]).toContain(command.kind);
      }
      return true;
    },
  });
});

const asker = { client: PEER, dialect: Dialect.Shoal, head: HEAD };

test("at a client", () => {
  fuzz({
    name: "majordomo, at a client",
    good: [
      ["", "MDPC01", "echo", ...BODY],
      ["MDPC02", Buffer.of(ClientCommand.Partial), "echo", ...BODY],
      ["MDPC02", Buffer.of(ClientCommand.Final), "echo", ...BODY],
      ["", "MDPC01", "mmi.shoal", "200", "12345678", "2500"],
      client.refusal(asker, SERVICE, "reason", "text").slice(1),
      client.waiting(asker, true).slice(1),
      client.clientHeartbeat(PEER, Buffer.from("12345678")).slice(1),
      run(Buffer.from(answerRunHead(RUN_HEAD, 5)), 1),
    ],
    check: (frames) => {
      const input = client.parseAtClient(frames);
      if (input.kind === "fault") return false;
      if ("sequence" in input) {
        // Past 2^53 it is inexact: then it is nobody's, since no client counts so far.
        expect(Number.isInteger(input.sequence)).toBe(true);
        expect(input.sequence).toBeGreaterThanOrEqual(-1);
      }
      if (input.kind === "answer" && input.sequence === -1) {
        expect(input.body.length).toBeGreaterThan(0);
        same([input.service, ...input.body], frames.slice(2));
      } else if (input.kind === "answer") same(input.body, frames.slice(1));
      if (input.kind === "answers") sameLengths(input.index, input.bodies, 6);
      if (input.kind === "heartbeat") same([input.incarnation], frames.slice(1));
      if (input.kind === "negotiated") {
        expect(Number.isFinite(input.heartbeatInterval)).toBe(true);
        expect(input.incarnation.length).toBe(input.extended ? 8 : 0);
      }
      return true;
    },
  });
});

test("at a worker", () => {
  fuzz({
    name: "majordomo, at a worker",
    good: [
      ...DIALECTS.flatMap((dialect) => [
        worker.delivery(PEER, dialect, 9, dialect === Dialect.Shoal ? HEAD : EMPTY, BODY, 0).slice(1),
        worker.workerSignal(PEER, dialect, "Heartbeat").slice(1),
        worker.workerSignal(PEER, dialect, "Disconnect").slice(1),
      ]),
      run(Buffer.from(deliveryRunHead(RUN_HEAD, 5, 3)), 3),
      worker.delivery(PEER, Dialect.Shoal, 9, EMPTY, BODY, 0).slice(1),
      worker.delivery(PEER, Dialect.Shoal, 9, EMPTY, BODY, 0, 2, 7).slice(1),
      worker.delivery(PEER, Dialect.Shoal, 9, HEAD_WITH, BODY, 0, 2, 7).slice(1),
      worker.cancellation(PEER, 9).slice(1),
      ["", "MDPC01", "mmi.shoal", "200", "12345678", "2500"],
    ],
    check: (frames) => {
      const input = worker.parseAtWorker(frames);
      if (input.kind === "fault") return false;
      if (input.kind === "request") {
        expect(input.body.length).toBeGreaterThan(0);
        const start = input.dialect === Dialect.Shoal ? [input.head] : input.envelope;
        expect(start.length).toBeGreaterThan(0);
        expect(start.every(({ length }) => length > 0)).toBe(true);
        const between = input.dialect === Dialect.Shoal ? [] : [EMPTY];
        const tail = [...start, ...between, ...input.body];
        same(tail, frames.slice(-tail.length));
        expect(typeof input.repeatable).toBe("boolean");
      }
      if (input.kind === "requests") {
        sameLengths(input.index, input.bodies, 14);
        input.each((delivery) => {
          expect(delivery.repeatable).toBe(true);
          expect(delivery.head.length).toBeGreaterThan(0);
          expect(delivery.sequence).toBeGreaterThanOrEqual(0);
        });
      }
      if (input.kind === "cancel") expect(input.tag).toBeLessThanOrEqual(0xffff_ffff);
      if (input.kind === "negotiated")
        expect(client.beatInterval(1_000, input.heartbeatInterval)).toBeGreaterThan(0);
      return true;
    },
  });
});
