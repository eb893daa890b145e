/** Callers that mean harm: wrong credentials as fast as they can, huge requests, slow ones, and readers that do not read. */
import { connect as connectTcp, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { ClusterNode, DiscoveryClient, DiscoveryServer } from "../../../src/cluster/index.js";
import { EventStream } from "../../../src/core/event-stream.js";
import { Dealer } from "../../../src/index.js";
import { command, greeting } from "../../contract/support/zmtp-peer.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { collectGarbage } from "../../support/collect-garbage.js";
import { LONG } from "../../support/long.js";
import { freePort } from "../../support/ports.js";

const closing = closeAfterEach();
const sockets: Socket[] = [];

afterEach(async () => {
  for (const each of sockets.splice(0)) each.destroy();
});

async function serverOf(node: ClusterNode): Promise<DiscoveryServer> {
  const options = { endpoint: "tcp://127.0.0.1:*", http: { port: 0 }, users: { ana: "secret" } };
  const server = closing(new DiscoveryServer(node, options));
  await server.start();
  return server;
}

/** A reader and asker that is let in. */
function dealerOf(server: DiscoveryServer, options = {}): Dealer {
  const dealer = closing(
    new Dealer({ plainUsername: "ana", plainPassword: "secret", linger: 0, ...options }),
  );
  dealer.connect(server.endpoint as string);
  return dealer;
}

async function serve(): Promise<DiscoveryServer> {
  const cluster = `hostile-${process.pid}`;
  const node = closing(new ClusterNode({ name: "a", cluster, multicast: { port: await freePort() } }));
  await node.start();
  return serverOf(node);
}

const SELF = { id: "a".repeat(32), name: "a@h", props: {}, endpoints: {}, isDraining: false, local: true };

/** A node whose members the test sets. */
function nodeOf(members: () => readonly object[]): { node: ClusterNode; change(): void } {
  let served: { changed(): void } | undefined;
  const node = {
    closed: false,
    events: new EventStream(),
    self: SELF,
    members,
    props: () => ({}),
    serveDiscovery: (server: typeof served) => {
      served = server;
      return () => undefined;
    },
  };
  return { node: node as unknown as ClusterNode, change: () => served?.changed() };
}

const portOf = (url: string | undefined): number => Number(/:(\d+)/.exec((url ?? "").slice(6))?.[1]);

/** A raw connection from an address of this host. */
function raw(to: number, from = "127.0.0.2"): Socket {
  const socket = connectTcp({ port: to, host: "127.0.0.1", localAddress: from });
  socket.on("error", () => undefined);
  sockets.push(socket);
  return socket;
}

const ended = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    if (socket.destroyed) resolve();
    socket.once("close", () => resolve());
    socket.resume();
  });

/** A good client from this host's usual address gets its list. */
async function isServed(server: DiscoveryServer): Promise<void> {
  const addresses = server.endpoint as string;
  const user = { username: "ana", password: "secret" };
  const client = closing(new DiscoveryClient({ addresses, ...user, attemptTimeout: 10_000 }));
  await client.ready({ timeout: 20_000 });
  expect(client.nodes).toHaveLength(1);
  await client.close();
}

const HELLO = command("HELLO", "\x03ana\x05wrong");

/** Connections with wrong credentials: past the tenth they are not checked. */
const ATTEMPTS = LONG ? 100_000 : 300;
/** Watchers that do not read. */
const WATCHERS = LONG ? 10 : 2;

describe("a hostile caller", () => {
  it("with wrong credentials over sockets is refused unseen, while others are served", async () => {
    const server = await serve();
    const to = portOf(server.endpoint);
    const refusals: string[] = [];
    server.events.on("caller:refused", ({ reason }) => refusals.push(reason));
    let done = 0;
    const attack = async (): Promise<void> => {
      while (done < ATTEMPTS) {
        done += 1;
        const socket = raw(to);
        socket.write(Buffer.concat([greeting("PLAIN"), HELLO]));
        await ended(socket);
        sockets.splice(sockets.indexOf(socket), 1);
      }
    };
    const attacks = Array.from({ length: 50 }, attack);
    await isServed(server);
    await Promise.all(attacks);
    expect(new Set(refusals)).toEqual(new Set(["credentials", "limited"]));
    expect(refusals.length).toBeLessThan(server.stats().refused);
    await isServed(server);
  });

  it("that does not speak the protocol is counted, and loses its connection", async () => {
    const server = await serve();
    for (const [to, junk] of [
      [portOf(server.endpoint), Buffer.alloc(64, "x")],
      [portOf(server.url), Buffer.from("x\r\n\r\n")],
    ] as const) {
      const before = server.stats().invalid;
      const socket = raw(to);
      socket.write(junk);
      await ended(socket);
      expect(server.stats().invalid - before).toBe(1);
    }
    await isServed(server);
  });

  it("with huge and endless requests loses its connection, and costs no memory", async () => {
    const server = await serve();
    const dealer = dealerOf(server);
    const left = new Promise((resolve) => dealer.events.on("disconnect", resolve));
    await dealer.send(Buffer.alloc(1_000_000, "x"));
    await left;
    const http = raw(portOf(server.url));
    http.write(`GET /nodes HTTP/1.1\r\nX: ${"x".repeat(100_000)}\r\n\r\n`);
    await ended(http);
    const junk = raw(portOf(server.endpoint));
    junk.write(Buffer.alloc(100_000, "x"));
    await ended(junk);
    await isServed(server);
  });

  it("with slow headers and half handshakes loses its connection", async () => {
    const server = await serve();
    const slow = raw(portOf(server.url));
    slow.write("GET /nodes HTTP/1.1\r\n");
    const dribble = setInterval(() => slow.write("X: y\r\n"), 500);
    const half = raw(portOf(server.endpoint));
    half.write(greeting("PLAIN").subarray(0, 20));
    await Promise.all([ended(slow), ended(half)]);
    clearInterval(dribble);
    await isServed(server);
  }, 30_000);

  it("that watches and does not read misses updates, costs a bounded queue, and has the newest list at last", async () => {
    // A cluster of 250 nodes whose details all change at once: 1 MB an update.
    let round = 0;
    const { node, change } = nodeOf(() =>
      Array.from({ length: 250 }, (_, i) => ({
        ...SELF,
        id: i === 0 ? SELF.id : `${i}`.padStart(32, "0"),
        tags: [`${round}`.padStart(3_900, "x")],
      })),
    );
    const server = await serverOf(node);
    // They give signs of life, or they would be left within two seconds.
    const options = { receiveHighWaterMark: 1, heartbeatInterval: 300, heartbeatTimeout: 60_000 };
    const watchers = Array.from({ length: WATCHERS }, () => dealerOf(server, options));
    for (const dealer of watchers) {
      await dealer.send('{"command":"watch"}');
      await dealer.receive();
    }
    collectGarbage();
    const used = (): number => process.memoryUsage().heapUsed + process.memoryUsage().external;
    const before = used();
    while (server.stats().missed < 10 * WATCHERS) {
      round += 1;
      change();
      await setImmediate();
    }
    collectGarbage();
    // Some 10 of 1 MB each for a watcher, shared by all; not one for each of the updates that it missed.
    expect(used() - before).toBeLessThan(100_000_000);
    const asker = dealerOf(server);
    await asker.send('{"command":"nodes"}');
    const roundOf = (frame: Buffer | undefined): number => {
      const { nodes } = JSON.parse(String(frame)) as { nodes: { tags: string[] }[] };
      return Number(nodes[0]?.tags[0]?.replace(/^x+/, ""));
    };
    const last = roundOf((await asker.receive())[0]);
    // A watcher that reads again gets the newest list, and not all those between.
    let read = 0;
    await Promise.all(
      watchers.map(async (dealer) => {
        for await (const [frame] of dealer) {
          read += 1;
          if (roundOf(frame) >= last) return;
        }
      }),
    );
    expect(read).toBeLessThan(round * WATCHERS);
  }, 120_000);
});

it("A server spends a bounded share of its time on lists, however often a large cluster changes", async () => {
  let lists = 0;
  const { node, change } = nodeOf(() => {
    lists += 1;
    const end = performance.now() + 30; // As for many nodes and clients.
    while (performance.now() < end);
    return [SELF];
  });
  await serverOf(node);
  lists = 0;
  for (const end = performance.now() + 600; performance.now() < end; await setImmediate()) change();
  expect(lists).toBeLessThan(5);
});
