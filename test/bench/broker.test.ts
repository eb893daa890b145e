/** Servers that the benchmark starts. */
import { expect, it } from "vitest";
import { Broker } from "../../bench/peers/broker.js";

it("have one listener for the end of the process, however many they are, and none after the last one", async () => {
  const before = process.listenerCount("exit");
  const args = async () => ["-e", "console.log('ready'); setInterval(() => undefined, 60_000)"];
  const started = await Promise.all(
    Array.from({ length: 3 }, () => Broker.start(process.execPath, args, /^ready$/)),
  );
  const during = process.listenerCount("exit");
  await Promise.all(started.map(({ broker }) => broker.stop()));
  expect([during, process.listenerCount("exit")]).toEqual([before + 1, before]);
});
