import { expect, test, vi } from "vitest";
import { closeWithOwner, Monitor } from "../../../src/engine/libzmq/monitor.js";
import type { NativeEvent } from "../../../src/engine/libzmq/native.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { FakeMonitored, nativeError } from "../../support/fake-native.js";
import fc from "../../support/properties.js";
import { turn } from "../../support/settled.js";

function monitored(world = new FakeMonitored()) {
  const heard: string[] = [];
  const ended = vi.fn();
  const emit = (event: NativeEvent): void => {
    heard.push(String(event.address));
  };
  const monitor = new Monitor(world.native, { socket: world.socket, observer: undefined }, emit);
  let count = 0;
  return {
    world,
    monitor,
    heard,
    ended,
    happen: () => world.current.push({ type: "accept", address: String(count++) }),
  };
}

test("a monitor that can have no observer for a while hears again when it can, and says so at its finish", async () => {
  const { world, monitor, heard, happen, ended } = monitored();
  world.failures.push(nativeError("EMFILE"));
  monitor.tick();
  await turn();
  world.current.push({ type: "end" });
  await turn();
  expect(ended).not.toHaveBeenCalled();
  monitor.tick();
  happen();
  monitor.ref();
  await turn();
  expect(heard).toEqual(["0"]);
  expect(monitor.finish(ended)).toBe(true);

  const poor = monitored();
  poor.world.failures.push(nativeError("EMFILE"), nativeError("EMFILE"));
  poor.monitor.tick();
  await turn();
  expect(poor.monitor.finish(ended)).toBe(false);
});

test("an observer is replaced when the one before it has heard its end: libzmq has sockets for one replacement", async () => {
  const { world, monitor } = monitored(new FakeMonitored(false));
  const ticks = async () => {
    for (let i = 0; i < 3; i++) {
      monitor.tick();
      await turn();
      await turn();
    }
  };
  await ticks();
  expect(world.observers).toHaveLength(2);
  world.observers[0]?.push({ type: "end" });
  await turn();
  await ticks();
  expect(world.observers).toHaveLength(3);
});

test("an observer that is closed under the reader ends the monitor without an unhandled rejection", async () => {
  const { world, monitor, ended } = monitored();
  monitor.finish(ended);
  world.current.close();
  await turn();
  expect(ended).toHaveBeenCalledTimes(1);
});

test("an observer is made at another place when its own is still in use, and not forever", () => {
  const patient = new FakeMonitored();
  patient.failures.push(nativeError("EADDRINUSE"), nativeError("EADDRINUSE"));
  monitored(patient);
  expect(patient.observers).toHaveLength(1);

  const hopeless = new FakeMonitored();
  hopeless.failures.push(...Array.from({ length: 1_000 }, () => nativeError("EADDRINUSE")));
  expect(() => monitored(hopeless)).toThrow(expect.objectContaining({ code: "EADDRINUSE" }));

  const broken = new FakeMonitored();
  broken.failures.push(nativeError("EMFILE"));
  expect(() => monitored(broken)).toThrow("EMFILE");
});

test("a socket that the program forgot is closed, and its monitor read to its end", async () => {
  const world = new FakeMonitored();
  // No mocks, which remember who called them.
  const ignore = (): void => undefined;
  (() => {
    const pair = { socket: world.socket, observer: undefined };
    closeWithOwner(new Monitor(world.native, pair, ignore), pair);
  })();
  world.current.push({ type: "accept", address: "unread" });
  await turn();
  await vi.waitFor(() => {
    collectGarbage();
    expect(world.socket.closed).toBe(true);
  }, 15_000);
  await turn();
  expect(world.current.events).toEqual([]);
  world.current.push({ type: "end" });
});

test("no schedule leaves an observer unread, loses an event, or reports the end twice", async () => {
  const step = fc.constantFrom("hold", "loosen", "tick", "event", "event", "turn");
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), fc.boolean(), async (steps, loosenLast) => {
      const { world, monitor, heard, ended, happen } = monitored();
      let events = 0;
      let held = false;
      for (const one of steps) {
        if (one === "hold" || one === "loosen") {
          held = one === "hold";
          if (held) monitor.ref();
          else monitor.unref();
        } else if (one === "tick") monitor.tick();
        else if (one === "event") {
          events += 1;
          happen();
        } else await turn();
        if (held) {
          await turn();
          expect(heard).toHaveLength(events);
        }
      }
      monitor.tick();
      await turn();
      expect(heard).toHaveLength(events);
      expect(ended).not.toHaveBeenCalled();
      if (loosenLast) monitor.unref();
      monitor.tick();
      monitor.finish(ended);
      events += 1;
      happen();
      world.close();
      await turn();
      await turn();
      expect(heard).toEqual(Array.from({ length: events }, (_, i) => String(i)));
      expect(ended).toHaveBeenCalledTimes(1);
      for (const observer of world.observers) {
        expect(observer.events).toEqual([]);
        expect(observer.read).toBe(false);
      }
      monitor.tick();
      await turn();
      expect(ended).toHaveBeenCalledTimes(1);
    }),
    { numRuns: 500, defaultRuns: 150 },
  );
});
