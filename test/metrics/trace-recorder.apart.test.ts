/** Ways of messages as they are recorded: which are, which are not, and what that leaves behind. Time is virtual. */

import { channel } from "node:diagnostics_channel";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { startProcess, startRequest } from "../../src/core/diagnostics.js";
import {
  isMessageProcessObserved,
  isMessageReceiveObserved,
  isMessageSendObserved,
  isMessageTraced,
  type ObservedMessage,
  observeMessageProcess,
  observeMessageReceive,
  observeMessageSend,
} from "../../src/core/message-operations.js";
import { encodeContext, formatTraceParent, traceParentOf } from "../../src/core/trace-context.js";
import {
  MAX_RECORDED_PER_SECOND,
  MAX_STEPS_KEPT,
  MAX_UNDER_WAY,
  TraceRecorder,
} from "../../src/metrics/trace-recorder.js";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout"] });
});
const ending: (() => void)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0)) end();
  // Nobody looks any more.
  await vi.advanceTimersByTimeAsync(11_000);
  vi.useRealTimers();
});

let now = 0;

function recording(rate: number): TraceRecorder {
  const recorder = new TraceRecorder(() => now);
  ending.push(recorder.begin(rate));
  return recorder;
}

/** Publishes as a node does: where nobody observes, nothing is done. @returns the context that would go along */
async function publish(topic: string, fails?: Error): Promise<Buffer | undefined> {
  if (!isMessageSendObserved()) return undefined;
  let sent: Buffer | undefined;
  await observeMessageSend(
    "publish",
    topic,
    "data",
    async (context) => {
      sent = context;
      if (fails !== undefined) throw fails;
      return 1;
    },
    (count) => count,
  ).catch(() => undefined);
  return sent;
}

function arrived(context: Buffer | undefined): ObservedMessage {
  return {
    system: "cluster",
    destination: "t/1",
    filter: "t/#",
    sender: "a".repeat(32),
    bytes: 4,
    message: {},
    context,
  };
}

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";

function contextOf(header: string): Buffer {
  return Buffer.from(encodeContext({ traceparent: header }) as Uint8Array);
}

describe("recording", () => {
  it("samples as many messages a second as it is to, and observes what is sent only until each is found", async () => {
    const recorder = recording(10);
    expect(isMessageSendObserved()).toBe(false);
    let sampled = 0;
    for (let ms = 0; ms < 2_000; ms += 10) {
      await vi.advanceTimersByTimeAsync(10);
      for (let i = 0; i < 5; i++) if ((await publish("orders/1")) !== undefined) sampled += 1;
      expect(isMessageSendObserved()).toBe(false);
    }
    expect(sampled).toBe(20);
    const { steps, next } = recorder.look();
    expect(next).toBe(20);
    expect(new Set(steps.map(({ trace }) => trace)).size).toBe(20);
    expect(steps[0]).toMatchObject({ kind: "send", name: "publish orders/1", bytes: 4, parent: undefined });
    expect(recorder.look(next).steps).toEqual([]);
    expect(recorder.look(18).steps).toHaveLength(2);
    // Of a former life of the process.
    expect(recorder.look(1_000_000).steps).toHaveLength(20);
  });

  it("goes on at once at the other end, whatever is sampled there, and with what a handler sends before it waits", async () => {
    const recorder = recording(1);
    await vi.advanceTimersByTimeAsync(1_000);
    const context = await publish("first");
    const [sent] = recorder.look().steps;
    expect(traceParentOf(context)).toEqual({ trace: sent?.trace, span: sent?.span, isSampled: true });
    let isObservedLater = true;
    await observeMessageProcess("subscription", arrived(context), async () => {
      await publish("second");
      isObservedLater = isMessageSendObserved();
    });
    expect(isObservedLater).toBe(false);
    observeMessageReceive(arrived(context));
    const [, second, process, receive] = recorder.look().steps;
    expect(process).toMatchObject({
      kind: "process",
      name: "process t/#",
      trace: sent?.trace,
      parent: sent?.span,
    });
    expect(second).toMatchObject({ name: "publish second", trace: sent?.trace, parent: process?.span });
    expect(receive).toMatchObject({ kind: "receive", parent: sent?.span, duration: undefined });
  });

  it("has requests and their handlers by their headers", () => {
    const recorder = recording(1);
    vi.advanceTimersByTime(1_000);
    const request = startRequest("cluster", "bill", "", false, undefined);
    const header = request?.added?.traceparent;
    const process = startProcess("cluster", "bill", "", { traceparent: String(header) });
    process.end(Object.assign(new Error("no"), { code: "E_NO" }));
    request?.end();
    const [handled, asked] = recorder.look().steps;
    expect(handled).toMatchObject({
      kind: "process",
      name: "process bill",
      error: "E_NO",
      parent: asked?.span,
    });
    expect(asked).toMatchObject({ kind: "request", name: "request bill", error: undefined });
  });

  it("takes over the trace that an instrumentation has given, and leaves what it does not sample", async () => {
    const recorder = recording(1);
    const set = (operation: unknown): void => {
      (operation as { context: Uint8Array }).context = contextOf(header);
    };
    let header = `00-${TRACE}-${SPAN}-00`;
    // Before the recorder's own, as an instrumentation that was on before.
    channel("shoal.message.send.start").subscribe(set);
    ending.push(() => channel("shoal.message.send.start").unsubscribe(set));
    await vi.advanceTimersByTimeAsync(1_000);
    await publish("not sampled");
    header = formatTraceParent(TRACE, SPAN);
    await publish("sampled");
    expect(recorder.look().steps).toMatchObject([{ name: "publish sampled", trace: TRACE, span: SPAN }]);
  });

  it("ignores contexts that are not sampled, and junk", () => {
    const recorder = recording(1);
    for (const context of [
      Buffer.from("junk"),
      Buffer.alloc(1_024, 255),
      contextOf(`00-${TRACE}-${SPAN}-00`),
      contextOf(`00-${"0".repeat(32)}-${SPAN}-01`),
      contextOf(`ff-${TRACE}-${SPAN}-01`),
      contextOf(`00-${TRACE}-${SPAN}-01-more`),
      contextOf("x".repeat(900)),
    ])
      observeMessageReceive(arrived(context));
    expect(recorder.look().steps).toEqual([]);
    // A later version may have more than the flags.
    observeMessageReceive(arrived(contextOf(`01-${TRACE}-${SPAN}-01-more`)));
    expect(recorder.look().steps).toMatchObject([{ trace: TRACE, parent: SPAN }]);
  });

  it("keeps so many steps, and forgets them when nobody looks any more", async () => {
    const recorder = recording(1);
    const context = contextOf(formatTraceParent(TRACE, SPAN));
    for (let i = 0; i < MAX_STEPS_KEPT + 10; i++) {
      now += 1;
      observeMessageReceive(arrived(context));
    }
    const { next, steps } = recorder.look();
    expect([next, steps.length]).toEqual([MAX_STEPS_KEPT + 10, MAX_STEPS_KEPT]);
    for (const end of ending.splice(0)) end();
    expect(recorder.look(next).steps).toEqual([]);
    await vi.advanceTimersByTimeAsync(9_000);
    recorder.look();
    await vi.advanceTimersByTimeAsync(9_000);
    expect(isMessageTraced()).toBe(true);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(recorder.look(0).steps).toEqual([]);
    await vi.advanceTimersByTimeAsync(11_000);
    expect([isMessageTraced(), isMessageSendObserved()]).toEqual([false, false]);
  });

  it("records so many steps a second of what others mark as sampled, and its own samples besides", async () => {
    const recorder = recording(10);
    const context = contextOf(formatTraceParent(TRACE, SPAN));
    const flood = (count: number): void => {
      for (let i = 0; i < count; i++) observeMessageReceive(arrived(context));
    };
    flood(MAX_RECORDED_PER_SECOND + 5_000);
    expect(recorder.look()).toMatchObject({ next: MAX_RECORDED_PER_SECOND, missed: 5_000 });
    await vi.advanceTimersByTimeAsync(100);
    expect(await publish("own")).toBeDefined();
    expect(recorder.look(MAX_RECORDED_PER_SECOND).steps).toMatchObject([{ name: "publish own" }]);
    // Without time there is no more: the handler of a recorded message publishes, and that is counted.
    now += 1_000 / MAX_RECORDED_PER_SECOND;
    await observeMessageProcess("subscription", arrived(context), () => publish("caused"));
    expect(recorder.look()).toMatchObject({ next: MAX_RECORDED_PER_SECOND + 2, missed: 5_001 });
    now += 60_000;
    flood(2 * MAX_RECORDED_PER_SECOND);
    expect(recorder.look()).toMatchObject({
      next: 2 * MAX_RECORDED_PER_SECOND + 2,
      missed: 5_001 + MAX_RECORDED_PER_SECOND,
    });
  });

  it("goes on though handlers never settle, and has them without their end", () => {
    const recorder = recording(1);
    const context = contextOf(formatTraceParent(TRACE, SPAN));
    const settle: (() => void)[] = [];
    const hang = (): void =>
      void observeMessageProcess(
        "subscription",
        arrived(context),
        () => new Promise<void>((resolve) => settle.push(resolve)),
      );
    for (let i = 0; i < MAX_UNDER_WAY + 2; i++) {
      now += 10;
      hang();
    }
    const { next, steps } = recorder.look();
    expect(steps).toMatchObject([
      { kind: "process", duration: undefined, error: undefined },
      { kind: "process", duration: undefined },
    ]);
    // Its end comes late, and is no step of its own.
    const first = startProcess("cluster", "bill", "", { traceparent: formatTraceParent(TRACE, SPAN) });
    for (let i = 0; i < MAX_UNDER_WAY; i++) {
      now += 10;
      hang();
    }
    const before = recorder.look(next).next;
    first.end();
    expect(recorder.look(before).steps).toEqual([]);
    observeMessageReceive(arrived(context));
    expect(recorder.look(before).steps.at(-1)).toMatchObject({ kind: "receive" });
  });

  it("observes nothing before, and what has no context never", () => {
    const seen = (): boolean[] => [
      isMessageSendObserved(),
      isMessageProcessObserved(),
      isMessageReceiveObserved(),
      isMessageTraced(),
    ];
    const recorder = new TraceRecorder();
    expect(seen()).toEqual([false, false, false, false]);
    recorder.look();
    expect(seen()).toEqual([false, false, false, true]);
    vi.advanceTimersByTime(20_000);
    expect(seen()).toEqual([false, false, false, false]);
  });
});
