/** The end of a socket, in the middle of something else; and of its endpoints. */
import { describe, expect, it } from "vitest";
import { arrives, collect, failure, nextEvent, turn, within } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { frame } from "../../contract/support/zmtp-peer.js";
import { fill, mutePull, RawServer, shaken } from "./support/raw-server.js";

const world = new World("zmtp", "tcp");

describe("closing", () => {
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

describe("closing without a limit ends when nothing can leave any more:", () => {
  it("the linger of a disconnected endpoint is over", async () => {
    const endpoint = world.deadEndpoint();
    const push = world.connect(world.push({ linger: 50 }), endpoint);
    await push.send("queued");
    push.disconnect(endpoint);
    await within(push.close({ linger: -1 }), "close", 5_000);
    expect(push.stats().dropped.disconnected).toBe(1);
  });

  it("the last peer of an unbound socket left, and sends wait", async () => {
    const push = world.push({ sendHighWaterMark: 4 });
    const endpoint = await world.bind(push);
    const peer = await shaken(world, endpoint, "PULL");
    peer.socket.pause();
    await push.ready({ peers: 1 });
    await fill(push, 1_000_000);
    const waiting = failure(push.send("waiting"));
    await push.unbind(endpoint);
    const closed = push.close();
    peer.destroy();
    await within(closed, "close", 5_000);
    expect(await waiting).toMatchObject({ code: "EAGAIN" });
  });

  it("the last endpoint is not dialled again, and sends wait", async () => {
    const server = new RawServer(mutePull);
    const push = world.connect(
      world.push({ reconnectInterval: -1, sendHighWaterMark: 4 }),
      await server.listen(world),
    );
    await push.ready();
    await fill(push, 1_000_000);
    const waiting = failure(push.send("waiting"));
    const closed = push.close();
    server.end();
    await within(closed, "close", 5_000);
    expect(await waiting).toMatchObject({ code: "EAGAIN" });
  });
});

it("an endpoint that is bound again at once stays bound", async () => {
  const [pull, push] = [world.pull(), world.push()];
  const endpoint = await world.bind(pull);
  pull.unbindSync(endpoint);
  pull.bindSync(endpoint);
  for (let turns = 0; turns < 3; turns++) await turn();
  push.connect(endpoint);
  await arrives("arrived", push, pull);
});

it("unbind while peers are shaking hands lets them end it", async () => {
  const pull = world.pull();
  const endpoint = await world.bind(pull);
  const peer = await world.raw(endpoint);
  await peer.heard(64);
  await pull.unbind(endpoint);
  await peer.handshake("PUSH");
  peer.write(frame("x"));
  expect(await collect(pull, 1)).toEqual(["x"]);
});
