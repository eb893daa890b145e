/**
 * A cluster is rolled: node by node drains, ends and is replaced, while work is sent to whatever a resolver finds. By counts,
 * everything that was sent has arrived.
 */
import { afterEach, describe, expect, it } from "vitest";
import { ClusterNode, staticSource } from "../../src/cluster/index.js";
import { Pull, Push, Reply, Request } from "../../src/index.js";
import { freePort } from "../support/ports.js";

const NODES = 10;
const ROLLS = 5;
const TIMEOUT = ROLLS * 90_000;

/** Messages in a burst, and ms between bursts: 10,000 a second. */
const BURST = 50;
const BURST_INTERVAL = 5;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Settles when a condition holds, which is looked at after each event of these nodes. */
function until(nodes: readonly ClusterNode[], condition: () => boolean): Promise<void> {
  const types = ["joined", "back", "left", "lost", "tags", "draining"] as const;
  return new Promise((resolve) => {
    const look = (): void => {
      if (!condition()) return;
      for (const node of nodes) for (const type of types) node.events.off(type, look);
      resolve();
    };
    for (const node of nodes) for (const type of types) node.events.on(type, look);
    look();
  });
}

const shortName = (name: string): string => name.split("@")[0] as string;

/** The nodes, and one more that only asks; each finds the others by one address that is always there. */
class Fleet {
  readonly #cluster: string;
  readonly #seed: string;
  readonly faults: string[] = [];
  readonly asking: ClusterNode;

  private constructor(what: string, port: number) {
    this.#cluster = `rolling-${what}-${process.pid}`;
    this.#seed = `127.0.0.1:${port}`;
    this.asking = this.#node("asking", port);
  }

  static async create(what: string): Promise<Fleet> {
    const fleet = new Fleet(what, await freePort());
    await fleet.asking.start();
    return fleet;
  }

  async start(name: string): Promise<ClusterNode> {
    const node = this.#node(name, 0);
    await node.start();
    return node;
  }

  #node(name: string, port: number): ClusterNode {
    const { faults } = this;
    const discovery = [staticSource([this.#seed])];
    const node = new ClusterNode({ name, port, cluster: this.#cluster, discovery });
    for (const type of ["lost", "minority", "removed"] as const)
      node.events.on(type, (event) => {
        faults.push(`${name}: ${type} ${"member" in event ? event.member?.name : ""}`);
      });
    cleanups.push(() => node.close({ linger: 0 }));
    return node;
  }
}

describe(`a cluster of ${NODES}, rolled node by node under load`, () => {
  it("loses no message of PUSH to PULL, and no member", { timeout: TIMEOUT }, async () => {
    const fleet = await Fleet.create("push");
    let received = 0;
    let twice = 0;
    const seen = new Set<number>();

    /** A node that takes work, until it is drained. */
    class Worker {
      readonly pull = new Pull();
      readonly #reading: Promise<void>;
      #taken = 0;

      private constructor(readonly node: ClusterNode) {
        cleanups.push(() => this.pull.close());
        this.#reading = this.#read();
      }

      static async start(name: string): Promise<Worker> {
        const worker = new Worker(await fleet.start(name));
        await worker.pull.bind("tcp://127.0.0.1:*");
        worker.node.advertise("work", worker.pull);
        return worker;
      }

      get taken(): number {
        return this.#taken;
      }

      async #read(): Promise<void> {
        for await (const [frame] of this.pull) {
          const number = Number(frame);
          if (seen.has(number)) twice += 1;
          seen.add(number);
          received += 1;
          this.#taken += 1;
        }
      }

      /** As an operator does it: nothing new comes, what came is finished, then it leaves. */
      async end(): Promise<void> {
        const left = new Promise((resolve) => this.pull.events.once("disconnect", resolve));
        this.node.drain();
        await left;
        // What came before the end of the connection is here, and read before the end of the loop.
        for (let before = -1; before !== this.#taken; ) {
          before = this.#taken;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        await this.node.leave();
        this.pull.close();
        await this.#reading;
        await this.node.close();
      }
    }

    const { asking } = fleet;
    let workers = await Promise.all(Array.from({ length: NODES }, (_, at) => Worker.start(`n${at}`)));
    const resolver = asking.resolver({ has: ["work"] });
    const offers = (count: number) => () =>
      [...resolver].filter(({ endpoints }) => endpoints.work !== undefined).length === count;
    await until([asking], offers(NODES));

    const push = new Push({ linger: 10_000 });
    cleanups.push(() => push.close());
    push.connect(resolver);
    let sent = 0;
    let refused = 0;
    const load = setInterval(() => {
      for (let i = 0; i < BURST; i++) {
        push.send(String(sent)).catch(() => {
          refused += 1;
        });
        sent += 1;
      }
    }, BURST_INTERVAL);
    cleanups.push(() => clearInterval(load));

    for (let roll = 0; roll < ROLLS; roll++) {
      const next: Worker[] = [];
      for (const worker of workers) {
        const { name } = worker.node;
        await worker.end();
        const fresh = await Worker.start(shortName(name));
        next.push(fresh);
        await until(
          [asking],
          () => offers(NODES)() && resolver.members.some(({ id }) => id === fresh.node.id),
        );
        while (fresh.taken === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      workers = next;
    }

    clearInterval(load);
    while (received < sent) await new Promise((resolve) => setTimeout(resolve, 5));
    expect({ received, twice, refused, distinct: seen.size }).toEqual({
      received: sent,
      twice: 0,
      refused: 0,
      distinct: sent,
    });
    expect(fleet.faults).toEqual([]);
    expect(asking.members()).toHaveLength(NODES + 1);
    expect(sent).toBeGreaterThan(NODES * BURST);
    console.log(`${ROLLS * NODES} nodes replaced, ${sent} messages, none lost`);
  });

  it("answers every request of REQ, once, and loses no member", { timeout: TIMEOUT }, async () => {
    const fleet = await Fleet.create("request");
    const { asking } = fleet;
    let handled = 0;

    /** A node that answers, until it is drained and has nothing to answer. */
    class Server {
      readonly reply = new Reply();
      readonly #answering: Promise<void>;
      taken = 0;
      #isBusy = false;

      private constructor(readonly node: ClusterNode) {
        cleanups.push(() => this.reply.close());
        this.#answering = this.#answer();
      }

      static async start(name: string): Promise<Server> {
        const server = new Server(await fleet.start(name));
        await server.reply.bind("tcp://127.0.0.1:*");
        server.node.advertise("billing", server.reply);
        return server;
      }

      async #answer(): Promise<void> {
        for await (const [frame] of this.reply) {
          this.#isBusy = true;
          // A request takes a while: some are under way whenever a node drains.
          await new Promise((resolve) => setTimeout(resolve, 2));
          // Counted first: a send that lets the event loop turn settles after its client has the answer.
          handled += 1;
          await this.reply.send(`${frame}!`);
          this.taken += 1;
          this.#isBusy = false;
        }
      }

      async end(): Promise<void> {
        this.node.drain();
        await until([asking], () => asking.member(this.node.id)?.isDraining === true);
        // What was sent before the clients knew is answered.
        for (let before = -1; before !== this.taken || this.#isBusy; ) {
          before = this.taken;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        await this.node.leave();
        await this.reply.close({ linger: 1_000 });
        await this.#answering;
        await this.node.close();
      }
    }

    let servers = await Promise.all(Array.from({ length: NODES }, (_, at) => Server.start(`n${at}`)));
    const resolver = asking.resolver({ has: ["billing"] });
    const offers = (): boolean =>
      [...resolver].filter(({ endpoints }) => endpoints.billing !== undefined).length === NODES;
    await until([asking], offers);

    let isOver = false;
    const results = { sent: 0, answered: 0, wrong: 0, failed: 0 };
    const clients = Array.from({ length: 20 }, async (_, client) => {
      const request = new Request({ receiveTimeout: 20_000, sendTimeout: 20_000 });
      cleanups.push(() => request.close());
      request.connect(resolver);
      for (let number = 0; !isOver; number++) {
        try {
          results.sent += 1;
          await request.send(`${client}:${number}`);
          const [answer] = await request.receive();
          results.answered += 1;
          if (String(answer) !== `${client}:${number}!`) results.wrong += 1;
        } catch (error) {
          results.failed += 1;
          console.error(error);
          return;
        }
      }
    });

    for (let roll = 0; roll < ROLLS; roll++) {
      const next: Server[] = [];
      for (const server of servers) {
        const { name } = server.node;
        await server.end();
        const fresh = await Server.start(shortName(name));
        next.push(fresh);
        await until([asking], () => offers() && resolver.members.some(({ id }) => id === fresh.node.id));
        while (fresh.taken === 0 && results.failed === 0)
          await new Promise((resolve) => setTimeout(resolve, 5));
      }
      servers = next;
    }

    isOver = true;
    await Promise.all(clients);
    const { sent } = results;
    expect({ ...results, handled }).toEqual({ sent, answered: sent, wrong: 0, failed: 0, handled: sent });
    expect(fleet.faults).toEqual([]);
    expect(sent).toBeGreaterThan(NODES * 20);
    console.log(`${ROLLS * NODES} nodes replaced, ${sent} requests, each answered once`);
  });
});
