/** Majordomo's three dialects, whatever is in a message: what is taken has the form that wire.ts and batch.ts draw. */
import { expect, test } from "vitest";
import {
  Body,
  beatInterval,
  Dialect,
  EMPTY,
  encode,
  encodeHeaders,
  type Frames,
  type FromWorker,
} from "../../../src/patterns/majordomo/protocol.js";
import {
  answerOf,
  batchOf,
  deliveryOf,
  failureOf,
  idOf,
  NO_ID,
  readAtBroker,
  readAtClient,
  readAtWorker,
  readyOf,
  replyTo,
  requestOf,
} from "../../patterns/majordomo/messages.js";
import { fuzz, same } from "../messages.js";

const { Shoal } = Dialect;
const PEER = Buffer.from("peer");
const BODY = ["body", "more"];
const DIALECTS = [Dialect.Mdp01, Dialect.Mdp02, Shoal] as const;
const headers = encodeHeaders({ trace: "abc", empty: "" });
const TWO = [1, 2];
const small = (i: number): Body => Body.of([BODY[i - 1] as string]);

const idFor = (dialect: Dialect) => (dialect === Shoal ? idOf(5) : NO_ID);
const address = [Buffer.of(0, 0, 0, 9), EMPTY];
const deliveries = DIALECTS.map((dialect) =>
  deliveryOf(9, { dialect, ...idFor(dialect), address, body: Body.of(BODY) }),
);
const fromWorkers: FromWorker[] = [
  ...DIALECTS.flatMap((dialect): FromWorker[] => [
    readyOf("name", 2, 7, dialect),
    { kind: "heartbeat", dialect },
    { kind: "disconnect", dialect },
  ]),
  ...deliveries.map((delivery) => replyTo(delivery, true, 2, ...BODY)),
  { kind: "drain" },
  failureOf(9, "failed", "text"),
  { ...failureOf(9, "failed", "text"), details: Buffer.from("{}") },
  { kind: "negotiation" },
];
const fromClients = [
  ...DIALECTS.map((dialect) => requestOf(5, { dialect, ...idFor(dialect), body: Body.of(BODY) })),
  requestOf(5, { headers }),
  { kind: "cancel", number: 5 },
  { kind: "credit", number: 5, bytes: 1_000 },
  { kind: "client-heartbeat" },
  { kind: "negotiation" },
] as const;
const request = (i: number) => requestOf(i, { body: small(i) });
const answer = (i: number) => answerOf(i, { body: small(i) });
const delivery = (i: number) => deliveryOf(i, { body: small(i) });
const reply = (i: number) => ({ ...replyTo(deliveryOf(i), true, 0), body: small(i) });
const batch = {
  requests: batchOf("client", TWO.map(request)),
  answers: batchOf("client", TWO.map(answer)),
  deliveries: batchOf("worker", TWO.map(delivery)),
  replies: batchOf("worker", TWO.map(reply)),
};

/** The bodies of a batch are its last frame, one behind the other; those of another message are its last frames. */
function sameBodies(messages: readonly { readonly body?: Body }[], frames: readonly Buffer[]): void {
  const bodies = messages.flatMap(({ body }) => (body === undefined ? [] : (body.frames as Buffer[])));
  if (messages.length > 1) same([Buffer.concat(bodies)], frames.slice(-1));
  else same(bodies, frames.slice(frames.length - bodies.length));
}

test("at a broker", () => {
  fuzz({
    name: "majordomo, at a broker",
    good: [
      ...fromWorkers.map((message) => encode("worker", message)),
      ...fromClients.map((message) => encode("client", message)),
      batch.requests,
      batch.replies,
    ].map((frames) => [PEER, ...frames]),
    bad: [
      [0, 1],
      [3, 2],
      [1, 65_536],
    ].map(([concurrency, capacity]) => [
      PEER,
      ...encode("worker", readyOf("name", concurrency as number, capacity as number)),
    ]),
    check: (frames) => {
      const messages = readAtBroker(frames);
      sameBodies(messages as readonly { body?: Body }[], frames);
      for (const message of messages) {
        switch (message.kind) {
          case "fault":
            expect(message.reason).toMatch(
              /^(frames|header|command|service|body|id|number|capacity|headers)$/,
            );
            expect(messages).toHaveLength(1);
            return false;
          case "request":
            expect(message.service.length).toBeGreaterThan(0);
            expect(message.service.length).toBeLessThanOrEqual(255);
            expect(message.headers.length).toBeLessThanOrEqual(8_192);
            if (message.dialect !== Shoal) same(encode("client", message) as Buffer[], frames.slice(1));
            break;
          case "answer":
            expect(message.number).toBeLessThanOrEqual(0xffff_ffff);
            break;
          case "ready":
            expect(message.service.length).toBeGreaterThan(0);
            expect(message.concurrency).toBeGreaterThan(0);
            expect(message.capacity).toBeGreaterThanOrEqual(message.concurrency);
            expect(message.capacity).toBeLessThanOrEqual(65_535);
            break;
          case "failure":
            expect(message.reason).toBe(String(frames[2]));
            expect(message.text).toBe(String(frames[3]?.subarray(0, 4_096)));
            // A copy, so that it holds no received chunk; longer ones are left out.
            expect(message.details).toEqual((frames[4]?.length ?? 0) > 65_536 ? undefined : frames[4]);
            break;
          default:
            expect(message.kind).toMatch(
              /^(heartbeat|disconnect|drain|return|cancel|credit|client-heartbeat)$/,
            );
        }
      }
      return true;
    },
  });
});

test("at a client", () => {
  const good: Frames[] = [
    ["", "MDPC01", "echo", ...BODY],
    ["MDPC02", Buffer.of(2), "echo", ...BODY],
    ["MDPC02", Buffer.of(3), "echo", ...BODY],
    ["", "MDPC01", "mmi.shoal", "200", "2500"],
    encode("client", failureOf(5, "reason")),
    encode("client", { kind: "client-heartbeat" }),
    encode("client", { kind: "forgotten" }),
    encode("client", answerOf(5, { body: Body.of(BODY) })),
    batch.answers,
  ];
  fuzz({
    name: "majordomo, at a client",
    good,
    check: (frames) => {
      const messages = readAtClient(frames);
      for (const message of messages) {
        if (message.kind === "fault") return false;
        if ("number" in message) expect(message.number).toBeLessThanOrEqual(0xffff_ffff);
        if (message.kind === "negotiated") {
          expect(Number.isFinite(message.heartbeatInterval)).toBe(true);
        }
      }
      sameBodies(messages as readonly { body?: Body }[], frames);
      return true;
    },
  });
});

test("at a worker", () => {
  fuzz({
    name: "majordomo, at a worker",
    good: [
      ...deliveries.map((delivery) => encode("worker", delivery)),
      ...DIALECTS.map((dialect) => encode("worker", { kind: "heartbeat", dialect })),
      ...DIALECTS.map((dialect) => encode("worker", { kind: "disconnect", dialect })),
      encode("worker", deliveryOf(9, NO_ID)),
      encode("worker", deliveryOf(9, { headers, attempt: 2 })),
      encode("worker", { kind: "cancel", number: 9 }),
      encode("worker", { kind: "credit", number: 9, bytes: 7 }),
      batch.deliveries,
      ["", "MDPC01", "mmi.shoal", "200", "2500"],
    ],
    check: (frames) => {
      const messages = readAtWorker(frames);
      for (const message of messages) {
        if (message.kind === "fault") return false;
        if (message.kind === "request") {
          expect(message.body.length).toBeGreaterThan(0);
          // Frames that are not empty, and the delimiter.
          const ends = message.address.flatMap(({ length }, i) => (length === 0 ? [i] : []));
          expect(ends).toEqual(message.dialect === Shoal ? [] : [Math.max(1, message.address.length - 1)]);
          expect(message.headers).toBeInstanceOf(Uint8Array);
        }
        if (message.kind === "cancel") expect(message.number).toBeLessThanOrEqual(0xffff_ffff);
        if (message.kind === "negotiated")
          expect(beatInterval(1_000, message.heartbeatInterval)).toBeGreaterThan(0);
      }
      sameBodies(messages as readonly { body?: Body }[], frames);
      return true;
    },
  });
});
