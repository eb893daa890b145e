/** What programs ask by, and what is asked of this node, without links: a namespace that is a table of nodes. */
import { Readable } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { defineService } from "../../../src/cluster/index.js";
import { MAX_QUEUED_ITEMS, MAX_UNREAD_ANSWERS } from "../../../src/cluster/messaging/bounds.js";
import type { SendResult } from "../../../src/cluster/messaging/parts.js";
import type { WindowLimits } from "../../../src/cluster/messaging/window.js";
import type { Member } from "../../../src/cluster/node/member.js";
import { Requests, type RequestsEffects } from "../../../src/cluster/requests/requests.js";
import {
  BodyForm,
  decodeRequest,
  encodeCall,
  encodeCredit,
  encodeFailure,
  encodePart,
  encodeReply,
  encodeSign,
  RequestOp,
} from "../../../src/cluster/requests/wire.js";
import { gate } from "../../support/gate.js";
import { turn } from "../../support/settled.js";
import { throwing } from "../messaging/throwing.js";

const OTHER = "b".repeat(32);
const EXTRAS = { method: "", headers: {}, parts: 0, bytes: 0 };
const NOTHING = { form: BodyForm.NONE, data: "" };
const open: Requests[] = [];
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(open.splice(0).map((each) => each.close(0)));
});

/** Requests of a node that knows one other, which serves all, and what it sent. */
function namespaceOf({
  send = () => "sent",
  room = () => Promise.resolve(true),
  isFull = () => false,
  ...effects
}: Partial<RequestsEffects> & {
  readonly send?: (node: string, item: Buffer, beyond?: WindowLimits) => SendResult;
  readonly room?: () => Promise<boolean>;
  readonly isFull?: () => boolean;
} = {}): { readonly requests: Requests; readonly sent: Buffer[] } {
  const sent: Buffer[] = [];
  const other = { id: OTHER, name: "other" } as Member;
  const candidates = [{ id: OTHER, distance: 2 }];
  const take = (node: string, item: Buffer, beyond?: WindowLimits): SendResult => {
    const result = send(node, item, beyond);
    if (result === "sent") sent.push(item);
    return result;
  };
  const requests = new Requests({
    id: "a".repeat(32),
    links: {
      send: (node, _, item, beyond) => take(node, item as Buffer, beyond),
      room,
      isFull,
      maxItem: 1_048_576,
    },
    routes: { subscribe: () => Promise.resolve(), unsubscribe: () => Promise.resolve() },
    candidates: () => candidates,
    isSettling: () => false,
    find: (id) => (id === OTHER ? other : undefined),
    nameOf: (id) => id,
    report: () => undefined,
    handlerFailed: () => undefined,
    ...effects,
  });
  open.push(requests);
  return { requests, sent };
}

async function failsAtTheEnd(requests: Requests, call: Promise<unknown>): Promise<void> {
  await requests.close(0);
  await expect(call).rejects.toMatchObject({ code: "EAGAIN" });
}

const opsOf = (sent: readonly Buffer[]): unknown[] =>
  sent.map((item) => {
    const decoded = decodeRequest(item);
    return typeof decoded === "string" ? decoded : decoded.op;
  });

/** Bytes of a buffer that another thread, for example, has now. */
function transferred(): Uint8Array {
  const bytes = Uint8Array.of(1, 2, 3, 4);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

describe("a body of bytes whose memory was transferred", () => {
  it("is refused, and the next request is as it should be", async () => {
    const { requests, sent } = namespaceOf();
    const memory = transferred().buffer;
    for (const body of [transferred(), memory])
      await expect(requests.outgoing.request("s", body)).rejects.toMatchObject({ code: "EINVAL" });
    expect(requests.stats()).toMatchObject({ pending: 0, pendingBytes: 0 });
    const next = requests.outgoing.request("s", "next");
    expect(sent.map((item) => decodeRequest(item))).toMatchObject([
      { op: RequestOp.CALL, service: "s", body: Buffer.from("next") },
    ]);
    await failsAtTheEnd(requests, next);
  });

  it("fails as a reply, and its caller gets that failure", async () => {
    const { requests, sent } = namespaceOf();
    requests.serve("s", transferred as never);
    requests.onItem(OTHER, encodeCall(1, 0, "s", undefined, NOTHING));
    expect(sent.map((item) => decodeRequest(item))).toMatchObject([
      { op: RequestOp.FAILURE, id: 1, reason: "invalid-reply" },
    ]);
  });

  it("is repeated whole if that was after the call", async () => {
    const { requests, sent } = namespaceOf();
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const call = requests.outgoing.request("s", bytes, { retryDelay: 0 });
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    requests.onItem(OTHER, encodeFailure(1, { busy: 1, slots: 1 }, "overloaded", ""));
    while (sent.length < 2) await turn();
    expect(decodeRequest(sent[1] as Buffer)).toMatchObject({ body: Buffer.of(1, 2, 3, 4) });
    await failsAtTheEnd(requests, call);
  });
});

it("an async iterable as a body is refused by each call, and nothing is read of it", async () => {
  const { requests, sent } = namespaceOf();
  const { outgoing } = requests;
  let reads = 0;
  const source = async function* (): AsyncGenerator<string> {
    reads += 1;
    yield "x";
  };
  const error = { code: "EINVAL", message: expect.stringContaining("async iterable") };
  for (const body of [source(), Readable.from(["x"])]) {
    await expect(outgoing.request("s", body)).rejects.toMatchObject(error);
    await expect(outgoing.requestMany("s", body)).rejects.toMatchObject(error);
    expect(() => outgoing.requestStream("s", body)).toThrow(expect.objectContaining(error));
  }
  expect([reads, sent]).toEqual([0, []]);
});

it("a reply is refused where its schema throws anything at all, and the link to its node goes on", async () => {
  const { requests } = namespaceOf();
  const schemaOf = (validate: (value: unknown) => { value: unknown }) =>
    ({ "~standard": { version: 1, vendor: "test", validate } }) as const;
  const any = schemaOf((value) => ({ value }));
  const contract = defineService({
    name: "s",
    methods: { ask: { request: any, reply: schemaOf(throwing(null)) } },
  });
  const call = requests.outgoing.service(contract).ask("a question");
  requests.onItem(OTHER, encodeReply(1, { busy: 0, slots: 1 }, { form: BodyForm.BYTES, data: '"a"' }));
  await expect(call).rejects.toMatchObject({ code: "ERR_INVALID_MESSAGE" });
});

it.each([
  "drain",
  "close",
  "node's end",
] as const)("a service that was never announced is never ready after its %s, and says so", async (how) => {
  const { requests } = namespaceOf();
  const service = requests.serve("s", (() => "") as never);
  await (how === "node's end" ? requests.close(0) : service[how]());
  await expect(service.ready).rejects.toMatchObject({ code: "EAGAIN" });
});

describe("a request to all nodes", () => {
  const nodes = ["b", "c", "d"].map((digit) => digit.repeat(32));
  const THREE: Partial<RequestsEffects> = {
    candidates: () => nodes.map((id) => ({ id, distance: 2 })),
    find: (id) => ({ id, name: id }) as Member,
  };

  it("takes its bytes at the call, since the program may reuse them then", async () => {
    const { requests, sent } = namespaceOf();
    const bytes = Uint8Array.of(1, 2, 3);
    const call = requests.outgoing.requestMany("s", bytes);
    bytes.fill(0);
    while (sent.length === 0) await turn();
    expect(decodeRequest(sent[0] as Buffer)).toMatchObject({ body: Buffer.of(1, 2, 3) });
    await failsAtTheEnd(requests, call);
  });

  it.each([
    "enough replies",
    "an abort",
  ])("is a pending call for each, and %s cancels the others", async (how) => {
    const { requests, sent } = namespaceOf(THREE);
    const controller = new AbortController();
    const { signal } = controller;
    const call = requests.outgoing.requestMany("work", "ab", { timeout: -1, count: 1, signal });
    while (sent.length < 3) await turn();
    expect(requests.stats()).toMatchObject({ pending: 3, pendingBytes: 6 });
    if (how === "an abort") {
      controller.abort();
      await expect(call).rejects.toMatchObject({ code: "ABORT_ERR" });
    } else {
      requests.onItem(nodes[1] as string, encodeFailure(2, { busy: 0, slots: 1 }, "worker-failed", ""));
      requests.onItem(nodes[0] as string, encodeReply(1, { busy: 0, slots: 1 }, NOTHING));
      const { replies, failed, missing } = await call;
      expect([replies, failed, missing].map((list) => list.length)).toEqual([1, 1, 1]);
    }
    const cancelled = how === "an abort" ? 3 : 1;
    expect(opsOf(sent).slice(3)).toEqual(Array(cancelled).fill(RequestOp.CANCEL));
    expect(requests.stats()).toMatchObject({ pending: 0, pendingBytes: 0 });
  });

  it("fails for the nodes whose copies are more bytes than may wait", async () => {
    const { requests, sent } = namespaceOf(THREE);
    const body = Buffer.alloc(24 * 1_024 * 1_024);
    const call = requests.outgoing.requestMany("work", body, { timeout: -1 });
    while (sent.length < 2) await turn();
    expect(requests.stats()).toMatchObject({ pending: 2, pendingBytes: 2 * body.length });
    for (const [at, id] of nodes.slice(0, 2).entries())
      requests.onItem(id, encodeReply(at + 1, { busy: 0, slots: 1 }, NOTHING));
    const { replies, failed } = await call;
    expect(replies).toHaveLength(2);
    expect(failed).toMatchObject([{ error: { code: "ERR_TOO_MANY_PENDING" } }]);
    expect(sent).toHaveLength(2);
  });
});

it("a request to all nodes fails at once if none is known that serves it", async () => {
  const { requests } = namespaceOf({ candidates: () => [], isSettling: () => true });
  await expect(requests.outgoing.requestMany("work", "x")).rejects.toMatchObject({ reason: "no-service" });
});

it("a listener of `request:retried` may abort the request, whose next attempt is cancelled", async () => {
  const candidates = [OTHER, "c".repeat(32)].map((id) => ({ id, distance: 2 }));
  const asked: string[] = [];
  const controller = new AbortController();
  const { signal } = controller;
  const { requests, sent } = namespaceOf({
    candidates: () => candidates,
    send: (node) => {
      asked.push(node);
      return "sent";
    },
    report: ({ type }) => type === "request:retried" && controller.abort(),
  });
  const call = requests.outgoing.request("s", "x", { signal });
  requests.onItem(asked[0] as string, encodeFailure(1, { busy: 1, slots: 1 }, "stopping", ""));
  await expect(call).rejects.toMatchObject({ code: "ABORT_ERR" });
  expect(opsOf(sent)).toEqual([RequestOp.CALL, RequestOp.CALL, RequestOp.CANCEL]);
  requests.onItem(asked[1] as string, encodeReply(2, { busy: 0, slots: 1 }, NOTHING));
  expect(requests.stats()).toMatchObject({ called: 1, succeeded: 0, failed: 1, refused: { late: 1 } });
});

it("what a node asks that is lost here: it waits no longer than until that node is forgotten", async () => {
  const { requests } = namespaceOf();
  requests.serve("work", () => new Promise(() => undefined), { concurrency: 1 });
  const call = (id: number): Buffer =>
    encodeCall(id, 0, "work", undefined, { form: BodyForm.TEXT, data: "x" });
  requests.onItem(OTHER, call(1));
  requests.onGone("lost");
  requests.onItem("lost", call(1));
  requests.onItem("lost", call(2));
  expect(requests.stats().served).toMatchObject([{ running: 1, queued: 2 }]);
  requests.onForgotten("lost");
  expect(requests.stats().served).toMatchObject([{ running: 1, queued: 0, abandoned: 2 }]);
});

it("headers of queued requests count against maxQueueBytes", async () => {
  const { requests } = namespaceOf();
  const settings = { concurrency: 1, maxQueueBytes: 10_000 };
  const served = requests.serve("work", () => new Promise(() => undefined), settings);
  const headers = { large: "x".repeat(4_000) };
  for (let id = 1; id <= 4; id++)
    requests.onItem(OTHER, encodeCall(id, 0, "work", { ...EXTRAS, headers }, NOTHING));
  await turn();
  expect(served.stats()).toMatchObject({ running: 1, queued: 2, refused: 1 });
});

/** Parts without an end. */
async function* endless(onLeft: () => void): AsyncGenerator<string> {
  try {
    for (;;) yield "x";
  } finally {
    onLeft();
  }
}

/** A namespace whose link takes nothing until it is opened; `waits` settles when something waits for that. */
function closedLink(isTooLarge: (op: unknown) => boolean = () => false) {
  const waits = gate();
  const room = gate();
  let isFull = true;
  let waiting = 0;
  const { requests, sent } = namespaceOf({
    send: (_, item, beyond) => {
      if (isTooLarge(opsOf([item])[0])) return "too-large";
      if (!isFull) return "sent";
      waiting += 1;
      return waiting <= (beyond?.items ?? 0) ? "sent" : "full";
    },
    isFull: () => isFull,
    room: () => {
      waits.open();
      return room.passed.then(() => true);
    },
  });
  const open = (): void => {
    isFull = false;
    room.open();
  };
  return { requests, sent, waits: waits.passed, open };
}

it("a node that asks for requests which are not here, and reads nothing, makes no more answers wait than others that hold no slot", async () => {
  const { requests, sent, open } = closedLink();
  for (let id = 1; id <= MAX_UNREAD_ANSWERS + 10; id++)
    requests.onItem(OTHER, encodeSign(RequestOp.CHECK, id));
  expect(requests.stats().refused).toEqual({ gone: MAX_UNREAD_ANSWERS + 10, unread: 10 });
  open();
  while (sent.length < MAX_UNREAD_ANSWERS) await turn();
  expect(new Set(opsOf(sent))).toEqual(new Set([RequestOp.GONE]));
});

it("a request that fails while the link to its caller is full, since a part of its reply is too large: its handler's generator is left, and it fails once", async () => {
  const { requests, sent, open } = closedLink((op) => op === RequestOp.PART);
  const left = gate();
  const serve = () => endless(left.open);
  const served = requests.serve("work", serve as never);
  requests.onItem(OTHER, encodeCall(1, 0, "work", { ...EXTRAS, parts: 1, bytes: 1_024 }, NOTHING));
  await left.passed;
  await turn();
  expect(served.stats()).toMatchObject({ running: 1, handled: 0, failed: 1 });
  open();
  await served.drain();
  expect(opsOf(sent)).toEqual([RequestOp.FAILURE]);
  expect(served.stats()).toMatchObject({ running: 0, handled: 0, failed: 1 });
});

it("a streamed reply that waits for the link makes no further part with the credit that comes meanwhile", async () => {
  const { requests, sent, waits, open } = closedLink();
  let made = 0;
  const serve = async function* (): AsyncGenerator<number> {
    while (made < 20) {
      made += 1;
      yield made;
    }
  };
  requests.serve("work", serve as never);
  requests.onItem(OTHER, encodeCall(1, 0, "work", { ...EXTRAS, parts: 1, bytes: 1_024 }, NOTHING));
  await waits;
  for (let i = 0; i < 20; i++) {
    requests.onItem(OTHER, encodeCredit(1, 1, 1_024));
    await turn();
  }
  expect(made).toBe(1);
  open();
  while (opsOf(sent).at(-1) !== RequestOp.END) await turn();
  expect([made, sent.length]).toEqual([20, 21]);
});

/** A namespace with a link that takes items until as many replies wait as may. */
function stuck(): { readonly requests: Requests; fill(): void } {
  let isFull = false;
  let waiting = 0;
  const { requests } = namespaceOf({
    send: (_node, _item, beyond) => {
      if (!isFull) return "sent";
      waiting += 1;
      return waiting <= (beyond?.items ?? 0) ? "sent" : "full";
    },
    room: () => new Promise(() => undefined),
    isFull: () => isFull,
  });
  const fill = (): void => {
    isFull = true;
    requests.serve("stuck", async () => undefined as never, { concurrency: MAX_QUEUED_ITEMS });
    for (let id = 1; id <= MAX_QUEUED_ITEMS; id++)
      requests.onItem(OTHER, encodeCall(id, 0, "stuck", EXTRAS, NOTHING));
    expect(requests.stats().refused).toEqual({});
  };
  return { requests, fill };
}

it("a node for which as much waits as may has its streamed requests ended, and the slots are free; who asks there has an error", async () => {
  const { requests, fill } = stuck();
  const left = gate();
  const write = () => endless(left.open);
  const writing = requests.serve("write", write as never, { concurrency: 1 });
  const full = { code: "ERR_TOO_MANY_PENDING", message: expect.stringContaining("65536 items") };
  const replies = requests.outgoing.requestStream("work", "x", { maxQueue: 1, timeout: -1 });
  await turn();
  fill();
  const extras = { ...EXTRAS, parts: 8, bytes: 1_024 };
  requests.onItem(OTHER, encodeCall(MAX_QUEUED_ITEMS + 1, 0, "write", extras, NOTHING));
  await left.passed;
  await turn();
  expect(writing.stats().running).toBe(0);
  // The refusal in place of what was dropped last has no room either; nor has, where this took seconds, what the others say meanwhile.
  const { unread, ...others } = requests.stats().refused;
  expect([unread ?? 0, others]).toEqual([expect.toSatisfy((drops: number) => drops >= 2), {}]);
  requests.onItem(OTHER, encodePart(1, { form: BodyForm.TEXT, data: "first" }));
  expect(await replies.next()).toEqual({ done: false, value: "first" });
  await expect(replies.next()).rejects.toMatchObject(full);
  expect(requests.stats()).toMatchObject({ pending: 0, failed: 1 });
});
