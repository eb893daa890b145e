/** Clients and workers of patterns whose servers come and go with a source, under load: what is asked is answered, and how often. */

import { setEnvironmentData } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { Context, type EndpointSource, Publisher, Router } from "../../src/index.js";
import * as patterns from "../../src/patterns/index.js";
import { failure, thrown, until, within } from "../contract/support/wait.js";
import { openTitanic } from "../patterns/titanic/open.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { removeAfterEach } from "../support/folders.js";
import { gate } from "../support/gate.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";

const makeFolder = removeAfterEach();
const own = closeAfterEach();

/** Requests that are made all the time, some at once, until `stop`. */
class Load {
  readonly answers = new Map<string, string>();
  readonly failures: unknown[] = [];
  #next = 0;
  #stopped = false;
  readonly #loops: Promise<void>[];

  constructor(ask: (id: string) => Promise<string>, width = 8) {
    this.#loops = Array.from({ length: width }, async () => {
      while (!this.#stopped) {
        const id = String(this.#next++);
        try {
          this.answers.set(id, await ask(id));
        } catch (error) {
          this.failures.push(error);
          return;
        }
      }
    });
  }

  /** Until so many more requests are answered. */
  async answered(more: number): Promise<void> {
    const enough = this.answers.size + more;
    await until(
      () => this.answers.size >= enough || this.failures.length > 0,
      `${more} more answers after ${this.answers.size}`,
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await within(Promise.all(this.#loops), "the last answers");
    expect(this.failures).toEqual([]);
    expect(this.answers.size).toBe(this.#next);
    for (const [id, answer] of this.answers) expect(answer).toBe(`re ${id}`);
  }
}

/** A handler that counts how often it handled each request. */
class Handler {
  readonly handled = new Map<string, number>();

  handle = async (frames: readonly (Buffer | string)[]): Promise<string> => {
    const id = String(frames[0]);
    this.handled.set(id, (this.handled.get(id) ?? 0) + 1);
    await new Promise((resolve) => setTimeout(resolve, 1));
    return `re ${id}`;
  };

  get twice(): number {
    return [...this.handled.values()].filter((times) => times > 1).length;
  }
}

describe("Majordomo", () => {
  const broker = async () => {
    const made = own(new patterns.MajordomoBroker());
    return { broker: made, endpoint: await made.bind("tcp://127.0.0.1:*") };
  };

  it("answers each request once while brokers join, drain and leave", async () => {
    const [a, b, c] = [await broker(), await broker(), await broker()];
    const source = new ListedEndpoints([a.endpoint]);
    const handler = new Handler();
    own(new patterns.MajordomoWorker(source, "echo", handler.handle, { concurrency: 4 }));
    const client = own(new patterns.MajordomoClient(source));
    const left: string[] = [];
    client.events.on("broker:left", ({ reason }) => left.push(reason));
    const load = new Load(async (id) => String((await client.request("echo", id))[0]));
    await load.answered(100);
    source.set(a.endpoint, b.endpoint);
    await load.answered(100);
    // A member that drains is in no list any more; then it finishes, and goes.
    source.set(b.endpoint);
    await within(a.broker.drain(), "the drain");
    await a.broker.close();
    await load.answered(100);
    source.set(b.endpoint, c.endpoint);
    await load.answered(50);
    source.set(c.endpoint);
    await load.answered(100);
    await load.stop();
    expect(handler.handled.size).toBe(load.answers.size);
    expect(handler.twice).toBe(0);
    expect(left).toEqual(["removed", "removed"]);
    const ended = { failed: 0, timedOut: 0, pending: 0, inFlight: 0 };
    expect(client.stats()).toMatchObject({ ...ended, broker: c.endpoint });
  });

  it("answers what a broker has that is in the list no more, and what waits in it, though there is no other", async () => {
    const { endpoint } = await broker();
    const source = new ListedEndpoints([endpoint]);
    const handled: string[] = [];
    const { passed: first, open: finish } = gate();
    own(
      new patterns.MajordomoWorker(source, "slow", async ([id]) => {
        handled.push(String(id));
        await first;
        return `re ${id}`;
      }),
    );
    const client = own(new patterns.MajordomoClient(source));
    const answers = ["1", "2", "3"].map((id) => client.request("slow", id, { retries: 0 }));
    await until(() => handled.length === 1, "the first request");
    const changed = new Promise((resolve) => client.events.once("source:changed", resolve));
    source.set();
    await changed;
    const late = client.request("slow", "4");
    finish();
    expect((await within(Promise.all(answers), "the answers")).map(String)).toEqual(["re 1", "re 2", "re 3"]);
    expect(handled).toEqual(["1", "2", "3"]);
    source.set((await broker()).endpoint);
    expect(String(await within(late, "the last answer"))).toBe("re 4");
  });

  it("Titanic serves at the brokers of a source, and reports what happens to it", async () => {
    const [a, b] = [await broker(), await broker()];
    const source = new ListedEndpoints([a.endpoint]);
    const { titanic, close } = openTitanic(source, makeFolder(), { checkInterval: 20, retryDelay: 20 });
    own({ close });
    const lists: unknown[] = [];
    titanic.events.on("source:changed", ({ endpoints }) => lists.push(endpoints));
    const handler = new Handler();
    own(new patterns.MajordomoWorker(source, "echo", handler.handle));
    const client = new patterns.TitanicClient(own(new patterns.MajordomoClient(source)));
    const ask = async (id: string): Promise<string> => {
      const { status, body } = await client.wait(await client.request("echo", id));
      return status === "200" ? String(body[0]) : status;
    };
    expect(await within(ask("1"), "the first reply")).toBe("re 1");
    source.set(b.endpoint);
    await a.broker.close();
    expect(await within(ask("2"), "the second reply")).toBe("re 2");
    expect(lists).toEqual([[a.endpoint], [b.endpoint]]);
  });

  it("reports what is wrong with a source", async () => {
    const { endpoint } = await broker();
    const source = new ListedEndpoints(["tcp://", endpoint]);
    const client = own(new patterns.MajordomoClient(source));
    const events: string[] = [];
    for (const type of ["endpoint:refused", "source:failed", "source:changed"] as const)
      client.events.on(type, () => events.push(type));
    await client.ready();
    source.fail(new Error("down"));
    await until(() => source.reads === 2, "another read");
    expect(events.slice(0, 3)).toEqual(["endpoint:refused", "source:changed", "source:failed"]);
    expect(thrown(() => new patterns.MajordomoClient([]))).toMatchObject({ code: "EINVAL" });
  });
});

describe("a load balancer's client, and Pirate workers", () => {
  it("get each request answered once while brokers join and leave", async () => {
    const broker = async () => {
      const balancer = own(new patterns.PirateQueue());
      const frontend = await balancer.bind("frontend", "tcp://127.0.0.1:*");
      return { balancer, frontend, backend: await balancer.bind("backend", "tcp://127.0.0.1:*") };
    };
    const [a, b, c] = [await broker(), await broker(), await broker()];
    const [fronts, backs] = [new ListedEndpoints([a.frontend]), new ListedEndpoints([a.backend])];
    const handler = new Handler();
    const worker = own(new patterns.PirateWorker(backs, handler.handle, { concurrency: 4 }));
    const client = own(new patterns.LoadBalancerClient(fronts));
    await Promise.all([worker.ready(), client.ready()]);
    const load = new Load(async (id) => String((await client.request(id))[0]));
    await load.answered(100);
    backs.set(a.backend, b.backend);
    fronts.set(a.frontend, b.frontend);
    await load.answered(100);
    fronts.set(b.frontend);
    backs.set(b.backend);
    await until(() => client.stats().inFlight <= 8, "requests");
    await load.answered(50);
    await within(a.balancer.drain(), "the drain");
    await a.balancer.close();
    fronts.set(b.frontend, c.frontend);
    backs.set(b.backend, c.backend);
    await load.answered(50);
    await load.stop();
    expect(handler.handled.size).toBe(load.answers.size);
    expect(handler.twice).toBe(0);
    expect(worker.stats().requests).toBe(load.answers.size);
    expect(client.stats()).toMatchObject({ errors: 0, pending: 0 });
  });

  it("wait while there is no broker", async () => {
    const [fronts, backs] = [new ListedEndpoints([]), new ListedEndpoints()];
    own(new patterns.PirateWorker(backs, new Handler().handle, { dialect: "simple" }));
    const client = own(new patterns.LoadBalancerClient(fronts));
    const answer = client.request("1");
    expect(await failure(client.ready({ timeout: 30 }))).toMatchObject({ code: "ETIMEDOUT" });
    const balancer = own(new patterns.LoadBalancer());
    const ready = client.ready();
    fronts.set(await balancer.bind("frontend", "tcp://127.0.0.1:*"));
    backs.set(await balancer.bind("backend", "tcp://127.0.0.1:*"));
    await within(ready, "a broker");
    expect(String(await within(answer, "the answer"))).toBe("re 1");
    const late = client.ready();
    await late;
    await client.close();
    expect(await failure(client.ready())).toMatchObject({ code: "EBADF" });
    expect(fronts.readers).toBe(0);
  });
});

describe("clients of servers without a broker", () => {
  const server = async (model: 1 | 2 | 3) => {
    const handler = new Handler();
    const driver = own(new patterns.FreelanceServer((body) => handler.handle(body as Buffer[]), { model }));
    return { handler, driver, endpoint: await driver.bind("tcp://127.0.0.1:*") };
  };

  const CLIENTS = [
    ["PirateClient", 1, patterns.PirateClient],
    ["FreelanceFailoverClient", 1, patterns.FreelanceFailoverClient],
    ["FreelanceShotgunClient", 2, patterns.FreelanceShotgunClient],
    ["FreelanceClient", 3, patterns.FreelanceClient],
  ] as const;

  it.each(CLIENTS)("%s has an answer to each request while servers come and go", async (_, model, Client) => {
    const [a, b] = [await server(model), await server(model)];
    const source = new ListedEndpoints();
    const client = own(new (Client as typeof patterns.PirateClient)(source));
    const load = new Load(async (id) => String((await client.request(id))[0]), 4); // There is no server yet.
    const ready = client.ready();
    await until(() => source.readers === 1, "a reader");
    source.set(a.endpoint);
    await within(ready, "a server");
    await load.answered(50);
    source.set(a.endpoint, b.endpoint);
    await load.answered(20);
    source.set(b.endpoint);
    await load.answered(50);
    await a.driver.close();
    await load.answered(50);
    await load.stop();
    expect(b.handler.handled.size).toBeGreaterThan(80);
    if (model === 1) expect(a.handler.twice + b.handler.twice).toBe(0);
  });

  it.each(CLIENTS)("%s drains at a server that is listed meanwhile", async (_, model, Client) => {
    const source = new ListedEndpoints([]);
    const client = own(new (Client as typeof patterns.PirateClient)(source));
    const answer = client.request("1", { timeout: 3_000 });
    const drained = client.drain();
    source.set((await server(model)).endpoint);
    expect(String(await within(answer, "the answer"))).toBe("re 1");
    await drained;
  });

  it("BinaryStarClient asks the server of the pair that serves, whichever is listed first", async () => {
    const state = { primary: `ipc://${makeFolder()}/p`, backup: `ipc://${makeFolder()}/b` };
    const start = async (role: "primary" | "backup") => {
      const peer = state[role === "primary" ? "backup" : "primary"];
      const star = { role, peer, heartbeatInterval: 50 };
      const made = own(new patterns.BinaryStarServer((body) => `${role} ${body}`, { star }));
      await made.bind("state", state[role]);
      return { made, endpoint: await made.bind("clients", "tcp://127.0.0.1:*") };
    };
    const [primary, backup] = [await start("primary"), await start("backup")];
    const source = new ListedEndpoints([]);
    const client = own(new patterns.BinaryStarClient(source, { attemptTimeout: 200 }));
    const first = client.request("1");
    source.set(backup.endpoint, primary.endpoint);
    expect(String(await within(first, "the first answer"))).toBe("primary 1");
    source.set(backup.endpoint);
    // Until then it is a backup that has not met its primary, and serves nobody without it.
    await until(() => backup.made.star.state === "passive", "the backup stands by");
    await primary.made.close();
    expect(String(await within(client.request("2"), "the second answer"))).toBe("backup 2");
    await client.close();
    await until(() => source.readers === 0, "the end of the source");
    for (const wrong of [["tcp://a:1"], "tcp://a:1", [], {}, null])
      expect(thrown(() => new patterns.BinaryStarClient(wrong as never))).toMatchObject({ code: "EINVAL" });
  });

  it("FreelanceShotgunClient waits for no server that has gone, when all others have failed", async () => {
    const handler = ([body]: Buffer[]): string => {
      if (String(body) === "1") throw new Error("no");
      return "yes";
    };
    const failing = own(new patterns.FreelanceServer(handler, { model: 2 }));
    const silent = own(new Router());
    const [one, other] = [await failing.bind("tcp://127.0.0.1:*"), await silent.bind("tcp://127.0.0.1:*")];
    const source = new ListedEndpoints([one, other]);
    const client = own(new patterns.FreelanceShotgunClient(source));
    await within(client.ready(), "a server");
    const left: string[] = [];
    client.events.on("server:left", ({ server }) => left.push(server));
    failing.events.on("handler:failed", () => undefined);
    const answer = failure(client.request("1", { timeout: 8_000 }));
    // Its error comes before this answer.
    await within(Promise.all([client.request("2"), silent.receive()]), "both are asked");
    source.set(one);
    expect(await within(answer, "the answer")).toMatchObject({ code: "ERR_SERVICE" });
    expect(left).toEqual([other]);
  });
});

/** Drivers that hand a source to a socket of theirs. */
const CONNECTED = {
  "LastValueCache, frontend": (source: EndpointSource) => {
    const cache = new patterns.LastValueCache();
    cache.connect("frontend", source);
    return cache;
  },
  "LastValueCache, backend": (source: EndpointSource) => {
    const cache = new patterns.LastValueCache();
    cache.connect("backend", source);
    return cache;
  },
  SequencedPublisher: (source: EndpointSource) => {
    const publisher = new patterns.SequencedPublisher();
    publisher.connect(source);
    return publisher;
  },
  SequencedSubscriber: (source: EndpointSource) => {
    const subscriber = new patterns.SequencedSubscriber();
    subscriber.connect(source);
    return subscriber;
  },
  SuicidalSnail: (source: EndpointSource) => {
    const snail = new patterns.SuicidalSnail();
    snail.connect(source);
    return snail;
  },
  "FederatedBroker, cloud": (source: EndpointSource) => {
    const broker = new patterns.FederatedBroker("A");
    broker.join({ cloud: source, state: new ListedEndpoints() });
    return broker;
  },
  "FederatedBroker, state": (source: EndpointSource) => {
    const broker = new patterns.FederatedBroker("A");
    broker.join({ cloud: new ListedEndpoints(), state: source });
    return broker;
  },
};

it.each(Object.entries(CONNECTED))("%s reports what is wrong with a source", async (_, connect) => {
  const source = new ListedEndpoints(["nonsense://x", "tcp://127.0.0.1:1"]);
  const driver = own(connect(source) as patterns.SuicidalSnail);
  const events: string[] = [];
  for (const type of ["endpoint:refused", "source:failed", "source:changed"] as const)
    driver.events.on(type, () => events.push(type));
  await until(() => source.readers === 1, "a reader");
  await new Promise((resolve) => setImmediate(resolve));
  source.fail(new Error("down"));
  await until(() => source.reads === 2, "another read");
  expect(events.slice(0, 3)).toEqual(["endpoint:refused", "source:changed", "source:failed"]);
});

describe("subscribers", () => {
  it("follow publishers that come and go (SuicidalSnail)", async () => {
    const [a, b] = [own(new Publisher()), own(new Publisher())];
    const [first, second] = [await a.bind("tcp://127.0.0.1:*"), await b.bind("tcp://127.0.0.1:*")];
    const source = new ListedEndpoints([first]);
    const snail = own(new patterns.SuicidalSnail());
    snail.connect(source);
    snail.subscribe();
    await snail.ready();
    source.set(second);
    await b.waitForSubscribers();
    await until(() => a.stats().peers === 0, "the end of the first connection");
  });

  it("follow publishers that come and go (BlackBox), and report what is refused", async () => {
    const [a, b] = [own(new Publisher()), own(new Publisher())];
    const [first, second] = [await a.bind("tcp://127.0.0.1:*"), await b.bind("tcp://127.0.0.1:*")];
    const source = new ListedEndpoints([first, "nonsense://x"]);
    const context = new Context({ engine: "libzmq" });
    const handled = new Int32Array(new SharedArrayBuffer(4));
    setEnvironmentData("handled", handled);
    const handler = `data:text/javascript,${encodeURIComponent(`
      import { getEnvironmentData } from "node:worker_threads";
      const handled = getEnvironmentData("handled");
      export default () => { Atomics.add(handled, 0, 1); }
    `)}`;
    const box = own(
      new patterns.BlackBox({ handler, connect: source, workers: 1, socketOptions: { context } }),
    );
    const events: unknown[] = [];
    box.events
      .on("source:changed", ({ endpoints }) => events.push(endpoints))
      .on("endpoint:refused", ({ endpoint, error }) => events.push([endpoint, error.code]));
    await box.start();
    await within(a.waitForSubscribers(), "the first connection");
    await a.send("1");
    await until(() => handled[0] === 1, "the first message");
    source.set(second, "ipc://@");
    await within(b.waitForSubscribers(), "the second connection");
    await until(() => a.stats().peers === 0, "the end of the first connection");
    await b.send("2");
    await until(() => handled[0] === 2, "the second message");
    await until(() => events.length === 4, "the events");
    expect(events).toEqual([["nonsense://x", "EPROTONOSUPPORT"], [first], ["ipc://@", "EINVAL"], [second]]);
    await box.close();
    await until(() => source.readers === 0, "the end of the source");
  });
});
