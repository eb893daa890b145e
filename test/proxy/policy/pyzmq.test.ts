/** pyzmq on both sides of a proxy with a policy: its keys, its topics, its rate. */
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { curveKeyPair } from "../../../src/index.js";
import { ForwarderProxy, StreamerProxy } from "../../../src/proxy/index.js";
import { until } from "../../contract/support/wait.js";
import type { PeerSocket, ProcessPeer } from "../../interop/peer.js";
import { NO_PYTHON, startPython } from "../../interop/python-peer.js";
import { ANY, back, front, useWorld } from "../support.js";

interface Made {
  readonly public: string;
  readonly keys: readonly [publicKey: string, secretKey: string];
}

describe.skipIf(NO_PYTHON)("pyzmq and a proxy's policy", () => {
  const world = useWorld("zmtp");
  const { context } = world;
  const server = curveKeyPair();
  let peer: ProcessPeer;
  let folder: string;

  beforeAll(async () => {
    peer = await startPython();
    folder = await mkdtemp(join(tmpdir(), "shoal-pyzmq-policy-"));
  });

  afterEach(async () => {
    await peer.call("close_all");
  });

  afterAll(async () => {
    await peer?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const secured = ([CURVE_PUBLICKEY, CURVE_SECRETKEY]: Made["keys"]) => ({
    CURVE_SERVERKEY: server.publicKey,
    CURVE_PUBLICKEY,
    CURVE_SECRETKEY,
  });
  const outside = { bind: ANY, curveServer: true, curveSecretKey: server.secretKey };

  it("a plain inside and a CURVE outside, whose keys pyzmq has made; topics one may not have stay inside", async () => {
    const keys = join(folder, "forwarder");
    const [one, two] = [
      await peer.call<Made>("create_certificate", { folder: keys, name: "one" }),
      await peer.call<Made>("create_certificate", { folder: keys, name: "two" }),
    ];
    const policy = { keys, topics: { allow: ["news"], deny: ["news.inside"] } };
    const proxy = await world.start(
      new ForwarderProxy({ frontend: { bind: ANY }, backend: { ...outside, policy }, context }),
    );
    const publisher = await peer.open("XPUB");
    await publisher.connect(front(proxy));
    const subscribers: PeerSocket[] = [];
    for (const { keys: pair } of [one, two]) {
      const subscriber = await peer.open("SUB", secured(pair));
      await subscriber.call("subscribe");
      await subscriber.connect(back(proxy));
      subscribers.push(subscriber);
    }
    const odd = curveKeyPair();
    const stranger = await peer.open("SUB", secured([odd.publicKey, odd.secretKey]));
    await stranger.connect(back(proxy));
    await until(
      () => proxy.stats().backend.peers === 2 && proxy.stats().backend.refused.key > 0,
      "both, and no third",
    );
    expect((await publisher.receive()).map(String)).toEqual(["\u0001"]);
    for (const topic of ["news.inside", "other", "news.today"]) await publisher.send(topic, "body");
    for (const subscriber of subscribers)
      expect((await subscriber.receive()).map(String)).toEqual(["news.today", "body"]);
    expect(proxy.stats().backend.refused.topic).toBe(2);
    // The secret files, which pyzmq has put next to the public ones, do not keep a key alive.
    await rename(two.public, join(folder, "gone"));
    await until(() => proxy.stats().backend.peers === 1, "the end of the revoked one");
    await publisher.send("news.later", "");
    expect((await (subscribers[0] as PeerSocket).receive()).map(String)).toEqual(["news.later", ""]);
  });

  it("a PUSH past its rate waits, and loses nothing", async () => {
    const keys = join(folder, "streamer");
    const made = await peer.call<Made>("create_certificate", { folder: keys, name: "one" });
    const policy = { keys, limits: { peer: { messages: 100 }, messageSize: 1_000 } };
    const proxy = await world.start(
      new StreamerProxy({ frontend: { ...outside, policy }, backend: { bind: ANY }, context }),
    );
    const pull = await peer.open("PULL");
    await pull.connect(back(proxy));
    const push = await peer.open("PUSH", secured(made.keys));
    await push.connect(front(proxy));
    const began = performance.now();
    for (let i = 0; i < 60; i++) await push.send(`${i}`);
    for (let i = 0; i < 60; i++) expect(String(await pull.receive())).toBe(`${i}`);
    expect(performance.now() - began).toBeGreaterThan(300);
    expect(proxy.stats().frontend.refused.rate).toBeGreaterThan(0);
    await push.send("x".repeat(1_001));
    await until(() => proxy.stats().frontend.refused.size === 1, "the end of its connection");
    await until(() => proxy.stats().frontend.peers === 1, "another");
    await push.send("small");
    expect(String(await pull.receive())).toBe("small");
  });
});
