/** What programs ask by, and what is asked of this node, without links: a bus that is a table of nodes. */
import { describe, expect, it } from "vitest";
import { MAX_UNREAD_ANSWERS } from "../../../src/cluster/messaging/bounds.js";
import type { Service } from "../../../src/cluster/node/service.js";
import { Requests, type RequestsEffects } from "../../../src/cluster/requests/requests.js";
import {
  BodyForm,
  decodeRequest,
  encodeCall,
  encodeWanted,
  RequestOp,
} from "../../../src/cluster/requests/wire.js";

const OTHER = "b".repeat(32);

/** Requests of a node that knows one other, which serves all. */
function requestsOf(sent: Buffer[], effects: Partial<RequestsEffects> = {}): Requests {
  const other = { id: OTHER, name: "other" } as Service;
  const candidates = [{ id: OTHER, distance: 2 }];
  return new Requests({
    id: "a".repeat(32),
    send: (_, item) => {
      sent.push(item);
      return "sent";
    },
    room: () => Promise.resolve(),
    mayReturn: () => false,
    candidates: () => candidates,
    isSettling: () => false,
    announce: () => Promise.resolve(),
    withdraw: () => Promise.resolve(),
    find: (id) => (id === OTHER ? other : undefined),
    nameOf: (id) => id,
    report: () => undefined,
    handlerFailed: () => undefined,
    ...effects,
  });
}

/** A promise, and what settles it. */
function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}

const opsOf = (sent: readonly Buffer[]): unknown[] =>
  sent.map((item) => {
    const decoded = decodeRequest(item);
    return typeof decoded === "string" ? decoded : decoded.op;
  });

describe("a request to all nodes", () => {
  it("is aborted by a signal that comes right behind the call, and asks nobody", async () => {
    const sent: Buffer[] = [];
    const requests = requestsOf(sent);
    const controller = new AbortController();
    const { signal } = controller;
    const replies = requests.outgoing.requestMany("work", "x", { signal, timeout: 60_000 });
    controller.abort();
    await expect(replies).rejects.toMatchObject({ code: "ABORT_ERR" });
    expect(sent).toEqual([]);
    await requests.close(0);
  });

  it("is aborted later, too, and cancelled where it was asked", async () => {
    const sent: Buffer[] = [];
    const requests = requestsOf(sent);
    const controller = new AbortController();
    const { signal } = controller;
    const replies = requests.outgoing.requestMany("work", "x", { signal, timeout: 60_000 });
    await Promise.resolve();
    await Promise.resolve();
    controller.abort();
    await expect(replies).rejects.toMatchObject({ code: "ABORT_ERR" });
    expect(opsOf(sent)).toEqual([RequestOp.CALL, RequestOp.CANCEL]);
    await requests.close(0);
  });
});

describe("what a node asks that is lost here", () => {
  it("waits no longer than until that node is forgotten", async () => {
    const requests = requestsOf([]);
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
    await requests.close(0);
  });
});

describe("a node that asks after requests which nobody makes, and reads nothing", () => {
  it("makes no more answers wait than others that hold no slot", async () => {
    const sent: Buffer[] = [];
    const all = gate();
    const room = gate();
    let isFull = true;
    const requests = requestsOf(sent, {
      send: (_, item) => {
        if (isFull) return "full";
        if (sent.push(item) === MAX_UNREAD_ANSWERS) all.open();
        return "sent";
      },
      room: () => room.passed,
    });
    for (let id = 1; id <= MAX_UNREAD_ANSWERS + 10; id++) requests.onItem(OTHER, encodeWanted(id));
    expect(requests.stats().refused).toEqual({ unread: 10 });
    isFull = false;
    room.open();
    await all.passed;
    expect(new Set(opsOf(sent))).toEqual(new Set([RequestOp.CANCEL]));
    await requests.close(0);
  });
});
