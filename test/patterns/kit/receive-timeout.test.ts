/** A program's `receiveTimeout` for the sockets of a pattern does not end its reading. */
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import { BinaryStarClient, BinaryStarServer } from "../../../src/patterns/binary-star/index.js";
import {
  FreelanceClient,
  FreelanceServer,
  FreelanceShotgunClient,
} from "../../../src/patterns/freelance/index.js";
import { LoadBalancer, LoadBalancerClient } from "../../../src/patterns/load-balancer/index.js";
import { PirateWorker } from "../../../src/patterns/pirate/index.js";

const ANY = "tcp://127.0.0.1:*";
const socketOptions = { receiveTimeout: 1 };
const open: { close(options?: { linger?: number }): Promise<unknown> }[] = [];
afterEach(() => Promise.all(open.splice(0).map((each) => each.close({ linger: 0 }))));

interface Asking {
  request(body: Buffer): Promise<Buffer[] | Buffer>;
  close(options?: { linger?: number }): Promise<unknown>;
}

const echo = ([word]: Buffer[]): string => String(word);

const PATTERNS: Readonly<Record<string, () => Promise<Asking[]>>> = {
  "binary star": async () => {
    const star = { role: "primary", peer: "tcp://127.0.0.1:1", heartbeatInterval: 20 } as const;
    const server = new BinaryStarServer(echo, { star, socketOptions });
    open.push(server);
    const at = await server.bind("clients", ANY);
    await server.bind("state", ANY);
    return [new BinaryStarClient([at, "tcp://127.0.0.1:1"], { socketOptions })];
  },
  freelance: async () => {
    const servers = ([2, 3] as const).map((model) => new FreelanceServer(echo, { model, socketOptions }));
    open.push(...servers);
    const [two, three] = (await Promise.all(servers.map((server) => server.bind(ANY)))) as [string, string];
    return [
      new FreelanceShotgunClient([two], { socketOptions }),
      new FreelanceClient([three], { socketOptions }),
    ];
  },
  "load balancer": async () => {
    const broker = new LoadBalancer({ socketOptions });
    open.push(broker);
    const [frontend, backend] = [await broker.bind("frontend", ANY), await broker.bind("backend", ANY)];
    open.push(new PirateWorker(backend, echo, { dialect: "simple", socketOptions }));
    return [new LoadBalancerClient(frontend, { socketOptions })];
  },
};

it.each(Object.keys(PATTERNS))("goes on reading: %s", async (name) => {
  const clients = (await PATTERNS[name]?.()) ?? [];
  open.push(...clients);
  for (const client of clients)
    for (const word of ["one", "two"]) {
      expect(String(await client.request(Buffer.from(word)))).toBe(word);
      // Longer than the time of a receive.
      const began = performance.now();
      while (performance.now() - began < 10) await turn();
    }
});
