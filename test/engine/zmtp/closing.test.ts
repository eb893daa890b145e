/** The end of a socket, in the middle of something else; and of its endpoints. */
import { describe, expect, it } from "vitest";
import { collect, failure, nextEvent, turn, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { frame, RawPeer } from "../../contract/support/zmtp-peer.js";
import { fill } from "./support/raw-server.js";

describe("closing", () => {
  const world = new World("zmtp", "tcp");

  it("within for await ends the loop, from inside and from outside", async () => {
    const [push, pull] = [world.push(), world.pull()];
    await world.link(pull, push);
    for (let i = 0; i < 50; i++) await push.send(String(i));
    let seen = 0;
    for await (const _ of pull) {
      seen += 1;
      if (seen === 10) await pull.close({ linger: 0 });
    }
    expect(seen).toBe(10);
  });

  it("with a hook that never answers ends at once, on both sides", async () => {
    const pull = world.pull({ authenticate: () => new Promise<boolean>(() => undefined) });
    const push = world.push();
    await world.link(pull, push);
    await nextEvent(pull, "accept");
    await turn();
    await within(push.close({ linger: 0 }), "the client's close", 2_000);
    await within(pull.close(), "the server's close", 2_000);
  });

  it("a hook that never answers ends with the handshake's time", async () => {
    const pull = world.pull({
      authenticate: () => new Promise<boolean>(() => undefined),
      handshakeInterval: 50,
    });
    const push = world.push();
    await world.link(pull, push);
    expect((await nextEvent(pull, "handshake:error:other")).error.message).toContain("50 ms");
    await nextEvent(push, "connect:retry");
  });

  it("while bind is under way refuses the bind, and leaves the endpoint free", async () => {
    const probe = world.pull();
    const endpoint = await world.bind(probe);
    await probe.close();
    const pull = world.pull();
    const binding = failure(pull.bind(endpoint));
    await pull.close();
    expect((await binding).code).toBe("EADDRNOTAVAIL");
    await world.pull().bind(endpoint);
  });

  it("when the linger runs out reports exactly what was left behind", async () => {
    for (const linger of [0, 30]) {
      const push = world.push();
      push.connect("tcp://127.0.0.1:1");
      for (let i = 0; i < 7; i++) await push.send(String(i));
      expect(await push.close({ linger })).toEqual({ flushed: 0, discarded: 7, unknown: 0 });
      expect(push.stats()).toMatchObject({
        sent: 7,
        delivered: 0,
        queued: 0,
        dropped: { closed: 7, disconnected: 0 },
      });
    }
  });

  it.each([
    true,
    false,
  ])("with linger 0 and a full peer counts each message once (bound: %s)", async (bound) => {
    const [push, pull] = [world.push({ sendHighWaterMark: 50 }), world.pull({ receiveHighWaterMark: 1 })];
    await (bound ? world.link(push, pull) : world.link(pull, push));
    await push.ready({ peers: 1 });
    const sent = await fill(push);
    const before = push.stats();
    expect(before.queued).toBeGreaterThan(0);
    const result = await push.close({ linger: 0 });
    expect(result.flushed + result.discarded).toBe(sent);
    expect(result.flushed).toBeGreaterThanOrEqual(before.delivered);
    expect(push.stats().dropped).toMatchObject({ closed: result.discarded, disconnected: 0 });
  });

  it("a peer that reads late and pings meanwhile still gets everything that was flushed", async () => {
    const [push, pull] = [world.push(), world.pull({ receiveHighWaterMark: 1, heartbeatInterval: 50 })];
    await world.link(pull, push);
    const body = Buffer.alloc(50_000, "x");
    for (let i = 0; i < 40; i++) await push.send([String(i), body]);
    const { flushed } = await push.close({ linger: 8_000 });
    expect(flushed).toBe(40);
    // Time has to pass: a second and some is more than a kernel waits for a peer of a closed connection.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    const got: number[] = [];
    while (got.length < 40) got.push(Number((await pull.receive({ timeout: 4_000 }))[0]));
    expect(got).toEqual(Array.from({ length: 40 }, (_, i) => i));
  });
});

describe("binding", () => {
  const world = new World("zmtp", "tcp");

  it("a wildcard twice is two endpoints, each unbound by itself, and both free after the close", async () => {
    const pull = world.pull();
    const endpoints: string[] = [];
    for (let i = 0; i < 3; i++) endpoints.push(await world.bind(pull));
    expect(new Set(endpoints).size).toBe(3);
    await pull.unbind(endpoints[1] as string);
    await world.pull().bind(endpoints[1] as string);
    await pull.close();
    for (const endpoint of [endpoints[0], endpoints[2]]) await world.pull().bind(endpoint as string);
  });

  it("unbind keeps the connections that stand, and takes no new ones", async () => {
    const [push, pull] = [world.push(), world.pull()];
    const endpoint = await world.link(pull, push);
    await push.ready({ timeout: 4_000 });
    await pull.unbind(endpoint);
    await push.send("still connected");
    expect(await collect(pull, 1)).toEqual(["still connected"]);
    const late = world.push();
    late.connect(endpoint);
    await nextEvent(late, "connect:retry");
    expect(pull.stats().peers).toBe(1);
  });

  it("unbind while peers are shaking hands lets them end it", async () => {
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    const peer = await RawPeer.connect(endpoint);
    await peer.receive(64);
    await pull.unbind(endpoint);
    await peer.handshake("PUSH");
    peer.write(frame("x"));
    expect(await collect(pull, 1)).toEqual(["x"]);
    peer.destroy();
  });
});
