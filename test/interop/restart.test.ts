/** pyzmq is killed without a word and comes back. */
import { afterEach, describe, expect, it } from "vitest";
import { Context, Dealer, Push, Request, type Socket, Subscriber } from "../../src/index.js";
import { LONG } from "../support/long.js";
import { Endpoints, type Transport } from "./endpoints.js";
import { OURS } from "./kinds.js";
import type { PeerSocket, ProcessPeer } from "./peer.js";
import { NO_PYTHON, startPython } from "./python-peer.js";

const peers: ProcessPeer[] = [];
const sockets: Socket[] = [];

function track<S extends Socket>(socket: S): S {
  sockets.push(socket);
  return socket;
}

async function start(type: string, endpoint: string): Promise<[ProcessPeer, PeerSocket]> {
  const peer = await startPython();
  peers.push(peer);
  const socket = await peer.open(type);
  await socket.bind(endpoint);
  return [peer, socket];
}

function left(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.events.once("peer:leave", resolve));
}

function joined(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.events.once("peer:join", resolve));
}

const TRANSPORTS: readonly Transport[] = LONG ? ["tcp", "ipc"] : ["tcp"];
/** How often a peer is killed. */
const LIVES = LONG ? 3 : 2;
const WAYS = OURS.flatMap((engine) => TRANSPORTS.map((transport) => [engine, transport] as const));

describe.skipIf(NO_PYTHON).each(WAYS)(
  "engine %s: a pyzmq peer that is killed, over %s",
  (engine, transport) => {
    const endpoints = new Endpoints();
    const context = new Context({ engine });
    const common = { context, reconnectInterval: 20 };

    afterEach(async () => {
      await Promise.all(sockets.splice(0).map((socket) => socket.close({ linger: 0 })));
      await Promise.all(peers.splice(0).map((peer) => peer.stop()));
    });

    it("is noticed, connected to again when it is back, and counted", async () => {
      const endpoint = await endpoints.free(transport);
      const push = track(new Push({ ...common }));
      push.connect(endpoint);
      for (let life = 0; life < LIVES; life++) {
        const [peer, pull] = await start("PULL", endpoint);
        await push.ready({ timeout: 10_000 });
        expect(push.stats()).toMatchObject({ peers: 1, reconnects: life });
        await push.send(`life ${life}`);
        expect((await pull.receive()).map(String)).toEqual([`life ${life}`]);
        const gone = left(push);
        await peer.child.kill();
        expect(await gone).toMatchObject({ address: endpoint });
        expect(push.stats().peers).toBe(0);
      }
      expect(push.stats()).toMatchObject({ sent: LIVES, delivered: LIVES });
    });

    it("in the middle of a request is answered for by its successor, through retries", async () => {
      const endpoint = await endpoints.free(transport);
      const request = track(new Request({ ...common }));
      request.connect(endpoint);
      for (let life = 0; life < LIVES; life++) {
        const [peer, rep] = await start("REP", endpoint);
        const pending = request.request([`question ${life}`], { attemptTimeout: 250, retries: 60 });
        expect(String((await rep.receive())[0])).toBe(`question ${life}`);
        await peer.child.kill();

        const [successor, again] = await start("REP", endpoint);
        const serving = again.call("serve");
        expect((await pending).map(String)).toEqual([`answer to question ${life}`]);
        await Promise.all([serving, successor.call("pause")]);
        await successor.child.kill();
      }
      expect(request.stats().reconnects).toBeGreaterThanOrEqual(LIVES);
    });

    it("loses nothing of what waits for it: a dealer's queue reaches its successor", async () => {
      const endpoint = await endpoints.free(transport);
      const dealer = track(new Dealer({ ...common, receiveTimeout: 10_000 }));
      dealer.connect(endpoint);
      const [peer] = await start("ROUTER", endpoint);
      await dealer.ready({ timeout: 10_000 });
      const gone = left(dealer);
      await peer.child.kill();
      await gone;
      for (let i = 0; i < 100; i++) await dealer.send(`m${i}`);

      const [, router] = await start("ROUTER", endpoint);
      const echoed = router.call("echo", { count: 100, strip: 1 });
      for (let i = 0; i < 100; i++) expect((await dealer.receive()).map(String)).toEqual([`m${i}`]);
      await echoed;
    });

    it("hears our subscriptions again when it is back", async () => {
      const endpoint = await endpoints.free(transport);
      const subscriber = track(new Subscriber({ ...common, receiveTimeout: 10_000 }));
      subscriber.subscribe("a", "b");
      subscriber.connect(endpoint);
      for (let life = 0; life < 2; life++) {
        const back = joined(subscriber);
        const [peer, xpub] = await start("XPUB", endpoint);
        await back;
        const heard = [await xpub.receive(), await xpub.receive()].map(([frame]) => String(frame));
        expect(heard.sort()).toEqual(["\u0001a", "\u0001b"]);
        await xpub.send("b", `life ${life}`);
        expect((await subscriber.receive()).map(String)).toEqual(["b", `life ${life}`]);
        await peer.child.kill();
      }
    });
  },
);
