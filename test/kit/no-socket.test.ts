/** The context has no room for another socket when a driver opens one by itself: that is an event, and is tried again. */
import { expect, test } from "vitest";
import { DiscoveryClient } from "../../src/cluster/index.js";
import { Context, Dealer, type ShoalError } from "../../src/index.js";
import * as patterns from "../../src/patterns/index.js";
import { MemorySessionStore, SessionClient, SessionServer } from "../../src/sessions/index.js";
import { within } from "../contract/support/wait.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";

const AT = "tcp://127.0.0.1:*";
const track = closeAfterEach();

interface Refusing {
  readonly events: {
    once(type: "endpoint:refused", listener: (event: { error: ShoalError }) => void): unknown;
  };
}

/** From now on the context has no room, until the driver has reported that. */
async function runOut(context: Context, driver: Refusing): Promise<void> {
  context.maxSockets = 1;
  const { error } = await within(
    new Promise<{ error: ShoalError }>((resolve) => driver.events.once("endpoint:refused", resolve)),
    "the event",
  );
  expect(error.code).toBe("EMFILE");
  context.maxSockets = 1_000;
}

/** A context with one socket, which is as many as `maxSockets` can be low; and an endpoint where nobody listens any more. */
const sockets = async () => {
  const context = new Context();
  track(new Dealer({ context }));
  const queue = new patterns.PirateQueue();
  const endpoint = await queue.bind("frontend", AT);
  await queue.close();
  return { context, socketOptions: { context, reconnectInterval: 50 }, endpoint };
};
const echo = ([body]: readonly Buffer[]): Buffer[] => [body as Buffer];

test("a client that asks one server after the other", async () => {
  const { context, socketOptions, endpoint } = await sockets();
  const client = track(
    new patterns.PirateClient(endpoint, { socketOptions, attemptTimeout: 100, retries: 1_000, timeout: -1 }),
  );
  const reply = client.request("x");
  await runOut(context, client);
  const queue = track(new patterns.PirateQueue());
  await queue.bind("frontend", endpoint);
  track(new patterns.PirateWorker(await queue.bind("backend", AT), echo));
  expect(String(await within(reply, "the reply"))).toBe("x");
});

test("a Pirate worker", async () => {
  const { context, socketOptions, endpoint } = await sockets();
  const worker = track(
    new patterns.PirateWorker(endpoint, echo, {
      socketOptions,
      heartbeatInterval: 50,
      reconnectInterval: 50,
    }),
  );
  await runOut(context, worker);
  const queue = track(new patterns.PirateQueue());
  await queue.bind("backend", endpoint);
  const client = track(new patterns.PirateClient(await queue.bind("frontend", AT)));
  expect(String(await within(client.request("x"), "the reply"))).toBe("x");
});

test("a Majordomo worker's endpoint of no known transport throws at once", () => {
  expect(() => new patterns.MajordomoWorker("nonsense://nowhere", "echo", echo)).toThrow("nonsense");
});

test.each(["auto", "0.1"] as const)("a Majordomo worker (%s)", async (protocol) => {
  const { context, socketOptions, endpoint } = await sockets();
  const times = { heartbeatInterval: 50, reconnectInterval: 50 };
  const worker = track(
    new patterns.MajordomoWorker(endpoint, "echo", echo, { protocol, socketOptions, ...times }),
  );
  await runOut(context, worker);
  const broker = track(new patterns.MajordomoBroker());
  await broker.bind(endpoint);
  const client = track(new patterns.MajordomoClient(endpoint));
  expect(String(await within(client.request("echo", "x"), "the reply"))).toBe("x");
});

test("a Majordomo client", async () => {
  const { context, socketOptions, endpoint } = await sockets();
  const client = track(
    new patterns.MajordomoClient(endpoint, { socketOptions, heartbeatInterval: 50, timeout: -1 }),
  );
  const reply = client.request("echo", "x");
  await runOut(context, client);
  const broker = track(new patterns.MajordomoBroker());
  await broker.bind(endpoint);
  track(new patterns.MajordomoWorker(endpoint, "echo", echo));
  expect(String(await within(reply, "the reply"))).toBe("x");
});

test("a client of a source of load balancers", async () => {
  const { context, socketOptions } = await sockets();
  const source = new ListedEndpoints([]);
  const client = track(new patterns.LoadBalancerClient(source, { socketOptions, timeout: -1 }));
  const reply = client.request("x");
  const balancer = track(new patterns.LoadBalancer());
  track(new patterns.PirateWorker(await balancer.bind("backend", AT), echo, { dialect: "simple" }));
  source.set(await balancer.bind("frontend", AT));
  await runOut(context, client);
  expect(String(await within(reply, "the reply"))).toBe("x");
});

test("a Freelance client that asks all servers of a source", async () => {
  const { context, socketOptions } = await sockets();
  const source = new ListedEndpoints([]);
  const client = track(new patterns.FreelanceShotgunClient(source, { socketOptions, timeout: -1 }));
  const reply = client.request("x");
  source.set(await track(new patterns.FreelanceServer(echo, { model: 2 })).bind(AT));
  await runOut(context, client);
  expect(String(await within(reply, "the reply"))).toBe("x");
});

test("a Clone client", async () => {
  const { context } = await sockets();
  const before = new patterns.CloneServer();
  const endpoint = await before.bind(AT);
  const client = track(new patterns.CloneClient(endpoint, { context, attemptTimeout: 200 }));
  await client.ready();
  await before.close();
  await runOut(context, client);
  const server = track(new patterns.CloneServer());
  await server.bind(endpoint);
  await within(client.set("key", "value"), "the set");
  expect(String(client.get("key"))).toBe("value");
});

test("a client of sessions", async () => {
  const { context, socketOptions, endpoint } = await sockets();
  const client = track(new SessionClient(endpoint, { id: "a", socketOptions, reconnectInterval: 50 }));
  await runOut(context, client);
  const store = track(new MemorySessionStore());
  await track(new SessionServer({ store })).bind(endpoint);
  await within(client.ready(), "the session");
});

test("a client of discovery", async () => {
  const { context, socketOptions, endpoint: addresses } = await sockets();
  const client = track(
    new DiscoveryClient({ addresses, socketOptions, connectionDelay: 50, retries: 1_000 }),
  );
  const failed = (code: string) =>
    within(
      new Promise<void>((resolve) =>
        client.events.on("attempt:failed", ({ error }) => error?.code === code && resolve()),
      ),
      code,
    );
  context.maxSockets = 1;
  await failed("EMFILE");
  context.maxSockets = 1_000;
  await failed("ECONNREFUSED");
});
