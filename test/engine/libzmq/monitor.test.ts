import { expect, test } from "vitest";
import { startMonitor } from "../../../src/engine/libzmq/monitor.js";
import { FakeMonitored, nativeError } from "../../support/fake-native.js";
import { turn } from "../../support/settled.js";

function monitored(world = new FakeMonitored()) {
  const heard: string[] = [];
  const gone = startMonitor(world.native, world.socket, ({ address }) => heard.push(String(address)));
  return { world, heard, gone };
}

test("a monitor passes each event, and ends with its socket", async () => {
  const { world, heard, gone } = monitored();
  world.current.push({ type: "accept", address: "0" });
  await turn();
  expect(heard).toEqual(["0"]);
  world.current.push({ type: "accept", address: "1" });
  world.close();
  await gone;
  expect(heard).toEqual(["0", "1"]);
  expect(world.current.events).toEqual([]);
  expect(world.current.read).toBe(false);
});

test("an observer that is closed under the reader ends the monitor without an unhandled rejection", async () => {
  const { world, gone } = monitored();
  world.current.close();
  await gone;
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
