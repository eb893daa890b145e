/** docs/spec/majordomo.md: its vectors are what this code writes, and what it reads. */
import { expect, it } from "vitest";
import {
  type Answer,
  Body,
  decodeHeaders,
  encode,
  encodeHeaders,
  type Frames,
  type Numbered,
  type Request,
  type Role,
} from "../../../src/patterns/majordomo/protocol.js";
import { framesOf, hexOf, vectorsOf } from "../vectors.js";
import {
  answerOf,
  batchOf,
  deliveryOf,
  failureOf,
  NO_ID,
  readAtBroker,
  readAtClient,
  readAtWorker,
  readyOf,
  replyTo,
  requestOf,
} from "./messages.js";

const clientId = { high: 0xc1c2c3c4, low: 0xc5c6c7c8 };
const idOf = (sequence: number): Numbered => ({ clientId, sequence });
const id = idOf(5);
const HI = Body.of([Buffer.from("hi")]);
const HEADERS = encodeHeaders({ trace: "a1" });
const NOTHING = Body.of([]);

const request = (given: Partial<Request> = {}): Frames =>
  encode("client", requestOf(5, { ...id, oldest: 3, time: 30_000, body: HI, ...given }));
const answer = (final: boolean, pieces: number, body: Body): Frames =>
  encode("client", answerOf(5, { final, pieces, body }));
const delivery = deliveryOf(9, { ...id, oldest: 3, time: 29_990, attempt: 2, headers: HEADERS, body: HI });
const details = Buffer.from('{"code":"E"}');

const BODIES = ["hi", "ho!"].map((text) => Body.of([text]));
const twoOf = <M extends Request | Answer>(role: Role, make: (i: number, body: Body) => M): Frames =>
  batchOf(
    role,
    BODIES.map((body, i) => make(i, body)),
  );

/** By their names in the page. */
const VECTORS: Record<string, Frames> = {
  "the question": encode("worker", { kind: "negotiation" }),
  request: request(),
  "a request with headers": request({ headers: HEADERS }),
  "the first piece": answer(false, 0, HI),
  final: answer(true, 0, HI),
  "final after 2 pieces": answer(true, 2, NOTHING),
  "failure of a request": encode("client", { ...failureOf(5, "worker-failed", "no"), details }),
  READY: encode("worker", readyOf("w1", 2, 7)),
  REQUEST: encode("worker", delivery),
  "REQUEST of a plain client": encode("worker", deliveryOf(9, { ...NO_ID, body: HI })),
  PARTIAL: encode("worker", replyTo(delivery, false, 0, "hi")),
  FINAL: encode("worker", replyTo(delivery, true, 0, "hi")),
  FAILURE: encode("worker", { ...failureOf(9, "worker-failed", "no"), details }),
  "a batch of requests": twoOf("client", (i, body) =>
    requestOf(5 + i, { ...idOf(5 + i), oldest: 3, time: 30_000, body }),
  ),
  "a batch of answers": twoOf("client", (i, body) => answerOf(5 + i, { body })),
  "a batch of REQUESTs": twoOf("worker", (i, body) =>
    deliveryOf(9 + i, { ...idOf(5 + i), oldest: 3, time: 30_000, body }),
  ),
  "a batch of FINALs": twoOf("worker", (i, body) => ({
    ...replyTo(deliveryOf(9 + i), true, 0),
    body,
  })),
};

const rows = vectorsOf("majordomo.md");

it("has a vector for each of these messages, and no other", () => {
  expect(rows.map(([name]) => name).sort()).toEqual(Object.keys(VECTORS).sort());
});

it.each(rows)("%s is written as it stands there", (name, vector) => {
  expect(hexOf((VECTORS[name] ?? []) as Buffer[])).toBe(vector);
});

it.each(rows)("%s is read by its receiver", (_, vector) => {
  const frames = framesOf(vector);
  const read = [readAtBroker([Buffer.from("peer"), ...frames]), readAtClient(frames), readAtWorker(frames)];
  expect(read.some((messages) => messages.every(({ kind }) => kind !== "fault"))).toBe(true);
});

it("headers that are cut off are left out, and end nothing", () => {
  expect({ ...decodeHeaders(HEADERS) }).toEqual({ trace: "a1" });
  for (let length = HEADERS.length - 1; length >= 0; length--)
    expect({ ...decodeHeaders(HEADERS.subarray(0, length)) }).toEqual({});
});
