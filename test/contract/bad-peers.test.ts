import { expect, it } from "vitest";
import type { Pull } from "../../src/index.js";
import { describeEngines } from "./support/engines.js";
import { arrives, collect, nextEvent, until, within } from "./support/wait.js";
import { command, frame, greeting, ready } from "./support/zmtp-peer.js";

describeEngines("a peer of bare bytes", (world) => {
  const interval = 150;

  async function bound(options: object): Promise<[Pull, string]> {
    const pull = world.pull(options);
    return [pull, await world.bind(pull)];
  }

  it("that falls silent is lost after six intervals by default", async () => {
    const [pull, endpoint] = await bound({ heartbeatInterval: 40 });
    const peer = await world.raw(endpoint);
    await peer.handshake("PUSH");
    const started = performance.now();
    const { reason } = await nextEvent(pull, "disconnect");
    expect(performance.now() - started).toBeGreaterThan(240 * 0.9);
    if (world.engine !== "libzmq") expect(reason).toBe("heartbeat");
    await within(peer.closed, "the connection's end");
    expect(pull.stats().peers).toBe(0);
  });

  it("that answers PING with PONG stays", async () => {
    const [pull, endpoint] = await bound({ heartbeatInterval: 60 });
    const peer = await world.raw(endpoint);
    await peer.handshake("PUSH");
    let left = false;
    pull.events.on("disconnect", () => {
      left = true;
    });
    const PING = Buffer.from("\u0004PING", "latin1");
    let pings = 0;
    peer.socket.on("data", (chunk: Buffer) => {
      for (let at = chunk.indexOf(PING); at >= 0; at = chunk.indexOf(PING, at + 1)) {
        pings += 1;
        peer.write(command("PONG"));
      }
    });
    await until(() => pings >= 6, "six PINGs");
    expect(left).toBe(false);
    peer.write(frame("alive"));
    expect(await collect(pull, 1)).toEqual(["alive"]);
  });

  it("with heartbeats off may be silent for good", async () => {
    const [pull, endpoint] = await bound({ heartbeatInterval: 0 });
    const peer = await world.raw(endpoint);
    await peer.handshake("PUSH");
    // Meanwhile another socket, with heartbeats, has noticed a silent peer of its own.
    const [other, elsewhere] = await bound({ heartbeatInterval: 40 });
    const silent = await world.raw(elsewhere);
    await silent.handshake("PUSH");
    await nextEvent(other, "disconnect");
    expect(peer.socket.bytesRead).toBe(64 + ready("PULL").length); // No PING.
    peer.write(frame("still here"));
    expect(await collect(pull, 1)).toEqual(["still here"]);
  });

  it.each([0, 5_000])("that declared a time to live and falls silent is gone (interval %i)", async (own) => {
    const [pull, endpoint] = await bound({ heartbeatInterval: own });
    const peer = await world.raw(endpoint);
    await peer.handshake("PUSH");
    const left = nextEvent(pull, "disconnect");
    // PING: a time to live of 2 tenths of a second, no context (37/ZMTP, Heartbeating).
    const started = performance.now();
    peer.write(command("PING", "\u0000\u0002"));
    const { reason } = await left;
    expect(performance.now() - started).toBeGreaterThan(180);
    if (world.engine !== "libzmq") expect(reason).toBe("heartbeat");
    await within(peer.closed, "the connection's end");
    expect(pull.stats().peers).toBe(0);
  });

  it("that never ends its handshake is closed after handshakeInterval", async () => {
    for (const bytes of [[], [greeting().subarray(0, 11)], [greeting()]]) {
      const [pull, endpoint] = await bound({ handshakeInterval: interval });
      const peer = await world.raw(endpoint);
      if (bytes.length > 0) peer.write(...bytes);
      await within(peer.closed, "the connection's end");
      expect(pull.stats().peers).toBe(0);
    }
  });

  const garbage: [string, Buffer[]][] = [
    ["a mechanism nobody knows", [greeting("NONSENSE"), ready("PUSH")]],
    ["a frame where READY belongs", [greeting(), Buffer.from([0x00, 0x03, 1, 2, 3])]],
    [
      "a frame of the largest size there is",
      [greeting(), ready("PUSH"), Buffer.from("027fffffffffffffff", "hex")],
    ],
  ];
  it.each(garbage)("that sends %s loses its connection; others go on", async (_, bytes) => {
    const [pull, endpoint] = await bound({ handshakeInterval: 400 });
    const push = world.connect(world.push(), endpoint);
    await arrives("before", push, pull);
    const peer = await world.raw(endpoint);
    // First the greeting alone: a READY that comes too early is another mistake.
    peer.write(bytes[0] as Buffer);
    await Promise.race([peer.heard(64), peer.closed]);
    peer.write(...bytes.slice(1));
    await within(peer.closed, "the connection's end");
    await arrives("after", push, pull);
    await until(() => pull.stats().peers === 1, "one peer");
  });

  it("of a socket type that does not fit is an event on the side that connects, too", async () => {
    const [pull, endpoint] = await bound({});
    const subscriber = world.subscriber();
    const failures = [
      nextEvent(pull, "handshake:error:protocol"),
      nextEvent(subscriber, "handshake:error:protocol"),
    ];
    subscriber.connect(endpoint);
    for (const { error } of await Promise.all(failures)) expect(error.code).toBe("ERR_ZMTP_INVALID_METADATA");
    expect([pull.stats().peers, subscriber.stats().peers]).toEqual([0, 0]);
  });

  it("that fails its handshake is an event, not an error of anybody's call", async () => {
    const [pull, endpoint] = await bound({});
    const waiting = pull.receive({ timeout: 8_000 });
    const failed = nextEvent(pull, "handshake:error:protocol");
    const peer = await world.raw(endpoint);
    peer.write(greeting());
    await peer.heard(64);
    peer.write(Buffer.from([0x00, 0x03, 1, 2, 3]));
    const { error, address } = await failed;
    expect(error.code).toMatch(/^ERR_(PROTOCOL|ZMTP_)/);
    expect(address).toContain("tcp://");
    const push = world.connect(world.push(), endpoint);
    await push.send("fine");
    expect(String(await waiting)).toBe("fine");
  });
});
