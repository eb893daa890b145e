import { expect, test, vi } from "vitest";
import { EventStream } from "../../src/core/event-stream.js";

type Event = { readonly type: "worker:joined"; readonly n: number } | { readonly type: "worker:left" };

function stream(): EventStream<Event> {
  return new EventStream<Event>({ names: { "worker:joined": true, "worker:left": true } });
}

test.for([
  "on",
  "once",
  "off",
] as const)("an unknown event name: %s throws EINVAL and names the nearest one", (method) => {
  const listener = vi.fn();
  expect(() => stream()[method]("worker:join" as never, listener)).toThrow(
    expect.objectContaining({
      code: "EINVAL",
      message: 'There is no event "worker:join"; did you mean worker:joined?',
    }),
  );
  expect(() => stream()[method]("toString" as never, listener)).toThrow(/There is no event "toString"$/);
  expect(() => stream()[method](undefined as never, listener)).toThrow("There is no event undefined");
});

test("a listener that is not a function is refused", () => {
  expect(() => stream().on("worker:left", "listener" as never)).toThrow(
    expect.objectContaining({ code: "EINVAL", message: 'A listener must be a function; got "listener"' }),
  );
});

test("nothing is kept before the first read unless it is asked for", async () => {
  const plain = stream();
  plain.emit({ type: "worker:left" });
  const next = plain.receive();
  plain.emit({ type: "worker:joined", n: 1 });
  expect(await next).toMatchObject({ n: 1 });
  const keeping = new EventStream<Event>({ keepsUnread: true });
  keeping.emit({ type: "worker:left" });
  expect(await keeping.receive()).toEqual({ type: "worker:left" });
});

test("a wait that is refused takes no event", async () => {
  const events = new EventStream<Event>({ keepsUnread: true });
  events.emit({ type: "worker:left" });
  await expect(events.receive({ timeout: Number.NaN })).rejects.toMatchObject({ code: "EINVAL" });
  await expect(events.receive({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORT_ERR" });
  expect(await events.receive()).toEqual({ type: "worker:left" });
});

test("a listener given by on stays, though once has or had it, too", () => {
  const events = stream();
  const [before, after] = [vi.fn(), vi.fn()];
  events.once("worker:left", before).on("worker:left", before);
  events.on("worker:left", after).once("worker:left", after);
  for (let i = 0; i < 2; i++) events.emit({ type: "worker:left" });
  expect([before, after].map(({ mock }) => mock.calls.length)).toEqual([2, 2]);
  events.off("worker:left", before).off("worker:left", after);
  events.emit({ type: "worker:left" });
  expect(before).toHaveBeenCalledTimes(2);
});
