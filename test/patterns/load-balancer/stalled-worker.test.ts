/** A worker that is stopped or hangs with a request: only its silence shows it. */
import { expect, it } from "vitest";
import { Context, Request } from "../../../src/index.js";
import { LoadBalancer, PirateWorker } from "../../../src/patterns/index.js";
import { within } from "../../contract/support/wait.js";
import { start } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const track = closeAfterEach();

/** Takes a request and never answers. */
const WORKER = `
  import { PirateWorker } from "shoal/patterns";
  new PirateWorker(process.argv[1], () => {
    console.log("request");
    return new Promise(() => undefined);
  }, { dialect: "simple" });
`;

it("a load balancer gives the request of a worker that is stopped to another after the heartbeatTimeout of backendOptions", async () => {
  const context = new Context({ engine: "zmtp" });
  const backendOptions = { heartbeatInterval: 50, heartbeatTimeout: 200 };
  const broker = track(new LoadBalancer({ socketOptions: { context }, backendOptions }));
  const frontend = await broker.bind("frontend", "tcp://127.0.0.1:*");
  const backend = await broker.bind("backend", "tcp://127.0.0.1:*");
  // One that ended by its own limit would pass its request on, too.
  const child = start(WORKER, { args: [backend], limit: 120_000 });
  track({ close: () => child.kill() });
  const client = track(new Request({ linger: 0, context }));
  client.connect(frontend);
  const reply = client.request("x", { timeout: -1 });
  expect(await within(child.line(), "the request at the first worker")).toBe("request");
  child.process.kill("SIGSTOP");
  track(new PirateWorker(backend, () => "done", { dialect: "simple", socketOptions: { context } }));
  expect(String(await within(reply, "the reply of the second worker"))).toBe("done");
});
