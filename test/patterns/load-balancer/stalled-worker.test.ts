/** A worker that is stopped or hangs with a request: only its silence shows it. */
import { afterEach, describe, expect, it } from "vitest";
import { Context, Request } from "../../../src/index.js";
import {
  type BrokerDriverOptions,
  FederatedBroker,
  LoadBalancer,
  PirateQueue,
  PirateWorker,
} from "../../../src/patterns/index.js";
import { within } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";

const open: { close(options?: { linger?: number }): Promise<unknown> }[] = [];
const children: Child[] = [];

afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => (child.running ? child.kill() : undefined)));
  await Promise.all(open.splice(0).map((thing) => thing.close({ linger: 0 })));
});

function track<T extends { close(options?: { linger?: number }): Promise<unknown> }>(thing: T): T {
  open.push(thing);
  return thing;
}

type Broker = PirateQueue | LoadBalancer | FederatedBroker;

const BROKERS: [name: string, create: (options: BrokerDriverOptions) => Broker][] = [
  ["PirateQueue", (options) => new PirateQueue(options)],
  ["LoadBalancer", (options) => new LoadBalancer(options)],
  ["FederatedBroker", (options) => new FederatedBroker("site", options)],
];

/** Takes a request and never answers. */
const WORKER = `
  import { PirateWorker } from "shoal/patterns";
  new PirateWorker(process.argv[1], () => {
    console.log("request");
    return new Promise(() => undefined);
  }, { dialect: "simple" });
`;

describe.each(BROKERS)("%s", (_, create) => {
  it("gives the request of a worker that is stopped to another after the heartbeatTimeout of backendOptions", async () => {
    const context = new Context({ engine: "zmtp" });
    const broker = track(
      create({
        socketOptions: { context },
        backendOptions: { heartbeatInterval: 50, heartbeatTimeout: 200 },
      }),
    );
    const frontend = await broker.bind("frontend", "tcp://127.0.0.1:*");
    const backend = await broker.bind("backend", "tcp://127.0.0.1:*");
    // One that ended by its own limit would pass its request on, too.
    const child = start(WORKER, { args: [backend], limit: 120_000 });
    children.push(child);
    const client = track(new Request({ linger: 0, context }));
    client.connect(frontend);
    const reply = client.request("x", { timeout: -1 });
    expect(await within(child.line(), "the request at the first worker")).toBe("request");
    child.process.kill("SIGSTOP");
    track(new PirateWorker(backend, () => "done", { dialect: "simple", socketOptions: { context } }));
    expect(String(await within(reply, "the reply of the second worker"))).toBe("done");
  });
});
