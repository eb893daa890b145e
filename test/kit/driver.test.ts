import { describe, expect, test } from "vitest";
import { Driver } from "../../src/kit/driver.js";

type Event = { readonly type: "thing:happened" };

class Thing extends Driver<Event, { readonly calls: number }> {
  readonly closings: number[] = [];
  calls = 0;
  finish: () => void = () => undefined;

  constructor() {
    super("Thing", { "thing:happened": true });
  }

  stats(): { readonly calls: number } {
    return { calls: this.calls };
  }

  async call(): Promise<void> {
    this.assertOpen();
    this.calls += 1;
  }

  /** The work does not end. */
  protected override onDrain(): Promise<void> {
    return new Promise(() => undefined);
  }

  protected async onClose(linger: number): Promise<void> {
    expect(this.closed).toBe(true);
    this.closings.push(linger);
    this.finish();
  }
}

describe("close", () => {
  test("runs once, with the default linger, and shares its promise", async () => {
    const thing = new Thing();
    expect(thing.closed).toBe(false);
    const closing = thing.close();
    expect(thing.closed).toBe(true);
    expect(thing.close({ linger: 5 })).toBe(closing);
    await closing;
    expect(thing.closings).toEqual([1_000]);
    expect(thing.events.closed).toBe(true);
    await expect(thing.call()).rejects.toMatchObject({ code: "EBADF", message: "Thing is closed" });
  });

  test("runs once, though a listener of what it reports closes, too", async () => {
    const thing = new Thing();
    const closes: Promise<void>[] = [];
    thing.events.on("thing:happened", () => closes.length < 9 && closes.push(thing.close({ linger: 5 })));
    thing.finish = () => thing.events.emit({ type: "thing:happened" });
    const closing = thing.close();
    expect(closes).toEqual([closing]);
    await closing;
    expect(thing.closings).toEqual([1_000]);
  });
});

test("a drain ends with its time-out, its signal, or the driver's end", async () => {
  const thing = new Thing();
  await expect(thing.drain({ timeout: 1 })).rejects.toMatchObject({ code: "ETIMEDOUT" });
  await expect(thing.drain({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ABORT_ERR" });
  await expect(thing.drain({ timeOut: 1 } as never)).rejects.toThrow("did you mean timeout?");
  const draining = thing.drain();
  await thing.close();
  await draining;
  await expect(thing.drain()).rejects.toMatchObject({ code: "EBADF" });
});

test("a drain begins once, though a listener of what it reports drains, too", async () => {
  let drains = 0;
  class Reporting extends Thing {
    protected override async onDrain(): Promise<void> {
      drains += 1;
      this.events.emit({ type: "thing:happened" });
    }
  }
  const thing = new Reporting();
  const calls: Promise<void>[] = [];
  const draining: boolean[] = [];
  thing.events.on("thing:happened", () => {
    draining.push(thing.draining);
    if (calls.length < 9) calls.push(thing.drain());
  });
  await thing.drain();
  await Promise.all(calls);
  expect([drains, draining]).toEqual([1, [true]]);
});
