/** What `/readyz` says of a service in each phase of its life: of brokers, too, whose statistics have no state. */
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { Log } from "../../src/cli/log.js";
import { operate } from "../../src/cli/operation.js";
import { Stop, withTerminal } from "../../src/cli/terminal.js";

it.each([
  ["without a state", { requests: 0 }, [503, 200, 503]],
  ["with a state that runs", { state: "running" }, [503, 200, 503]],
  ["with a state of its own", { state: "draining" }, [503, 503, 503]],
])("a service %s is ready from its word to the first signal", async (_, stats, expected) => {
  const stop = new Stop();
  const told: string[] = [];
  const log = Object.assign(new Log("test"), { info: (text: string) => void told.push(text) });
  const asked: [number, string][] = [];
  const look = async (): Promise<void> => {
    const url = /http:\S+(?=\/metrics)/.exec(told.join("\n"))?.[0] as string;
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const response = await fetch(`${url}/readyz`);
    asked.push([response.status, await response.text()]);
  };
  let drained: Promise<void> | undefined;
  const settings = { metrics: "127.0.0.1:0" };
  const close = () => (drained ??= look());
  const sources = () => ({ work: { kind: "majordomo", stats: () => stats } }) as const;
  await operate({ settings, log, stop, close, sources }, async () => {
    await look();
    setImmediate(() => void look().finally(stop.request));
  });
  expect(asked.map(([status]) => status)).toEqual(expected);
  if (expected[1] === 200)
    expect(asked.map(([, text]) => text)).toEqual(["work: starting\n", "work: ready\n", "work: draining\n"]);
});

it("ends at the second signal what does not start", async () => {
  const signals = new EventEmitter();
  const out = new PassThrough();
  const stop = withTerminal({ stdin: undefined, stdout: out, stderr: out, signals }, () =>
    new Stop().listen(),
  );
  const closed: number[] = [];
  const close = async (linger: number) => void closed.push(linger);
  const begin = (): Promise<void> => {
    for (let i = 0; i < 2; i++) setImmediate(() => signals.emit("SIGTERM"));
    return new Promise(() => undefined);
  };
  const operated = { settings: {}, log: new Log("test"), stop, close, sources: () => ({}) };
  await expect(operate(operated, begin)).rejects.toThrow("stopped before it had started");
  expect(closed).toEqual([0]);
});
