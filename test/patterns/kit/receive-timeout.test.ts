/** A program's `receiveTimeout` for the sockets of a pattern does not end its reading. */
import { setImmediate as turn } from "node:timers/promises";
import { expect, it } from "vitest";
import { BinaryStarClient, BinaryStarServer } from "../../../src/patterns/binary-star/index.js";
import {
  FreelanceClient,
  FreelanceServer,
  FreelanceShotgunClient,
} from "../../../src/patterns/freelance/index.js";
import { LoadBalancer, LoadBalancerClient } from "../../../src/patterns/load-balancer/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../../src/patterns/majordomo/index.js";
import { PirateWorker } from "../../../src/patterns/pirate/index.js";
import { closeAfterEach } from "../../support/close-after-each.js";

const ANY = "tcp://127.0.0.1:*";
const socketOptions = { receiveTimeout: 1 };
const kept = closeAfterEach();

interface Asking {
  request(body: Buffer): Promise<Buffer[] | Buffer>;
}

const echo = ([word]: Buffer[]): string => String(word);

const PATTERNS: Readonly<Record<string, () => Promise<Asking[]>>> = {
  majordomo: async () => {
    const broker = kept(new MajordomoBroker({ socketOptions }));
    const endpoint = await broker.bind(ANY);
    kept(new MajordomoWorker(endpoint, "echo", echo, { socketOptions }));
    const client = kept(new MajordomoClient(endpoint, { socketOptions }));
    return [{ request: (body) => client.request("echo", body) }];
  },
  "binary star": async () => {
    const star = { role: "primary", peer: "tcp://127.0.0.1:1", heartbeatInterval: 20 } as const;
    const server = kept(new BinaryStarServer(echo, { star, socketOptions }));
    const at = await server.bind("clients", ANY);
    await server.bind("state", ANY);
    return [kept(new BinaryStarClient([at, "tcp://127.0.0.1:1"], { socketOptions }))];
  },
  freelance: async () => {
    const servers = ([2, 3] as const).map((model) =>
      kept(new FreelanceServer(echo, { model, socketOptions })),
    );
    const [two, three] = (await Promise.all(servers.map((server) => server.bind(ANY)))) as [string, string];
    return [
      kept(new FreelanceShotgunClient([two], { socketOptions })),
      kept(new FreelanceClient([three], { socketOptions })),
    ];
  },
  "load balancer": async () => {
    const broker = kept(new LoadBalancer({ socketOptions }));
    const [frontend, backend] = [await broker.bind("frontend", ANY), await broker.bind("backend", ANY)];
    kept(new PirateWorker(backend, echo, { dialect: "simple", socketOptions }));
    return [kept(new LoadBalancerClient(frontend, { socketOptions }))];
  },
};

it.each(Object.keys(PATTERNS))("goes on reading: %s", async (name) => {
  for (const client of (await PATTERNS[name]?.()) ?? [])
    for (const word of ["one", "two"]) {
      expect(String(await client.request(Buffer.from(word)))).toBe(word);
      // Longer than the time of a receive.
      const began = performance.now();
      while (performance.now() - began < 10) await turn();
    }
});
