/** What `disconnect` does with messages that `send` has taken for that peer. */
import { expect, it } from "vitest";
import { describeTransports, itIf } from "./support/engines.js";
import { collect, turn, until, within } from "./support/wait.js";

const numbers = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => String(from + i));

describeTransports("disconnect", (world) => {
  it("sends what was accepted before the peer was there", async () => {
    const [push, pull] = [world.push({ reconnectInterval: 10 }), world.pull()];
    const endpoint = await world.bind(pull);
    await pull.unbind(endpoint);
    push.connect(endpoint);
    for (let i = 0; i < 10; i++) await push.send(String(i));
    push.disconnect(endpoint);
    await pull.bind(endpoint);
    expect(await collect(pull, 10)).toEqual(numbers(10));
  });

  it("gives the peer nothing that is sent afterwards; another gets it", async () => {
    const push = world.push({ sendHighWaterMark: 0 });
    const [left, other] = [world.pull({ receiveHighWaterMark: 10 }), world.pull()];
    const endpoint = await world.link(left, push);
    await push.send("first");
    await collect(left, 1);
    for (let i = 0; i < 500; i++) await push.send([String(i), "x".repeat(20_000)]);
    push.disconnect(endpoint);
    const next = await world.bind(other);
    push.connect(next);
    for (let i = 500; i < 520; i++) await push.send(String(i));
    expect(await collect(other, 20)).toEqual(numbers(20, 500));
    const got: string[] = [];
    while (got.length < 500) got.push(String((await within(left.receive(), "a message"))[0]));
    expect(got).toEqual(numbers(500));
    await expect(left.receive({ timeout: 50 })).rejects.toMatchObject({ code: "EAGAIN" });
  });

  it("can be followed by a connect to the same endpoint at once", async () => {
    const [push, pull] = [world.push({ sendHighWaterMark: 0 }), world.pull({ receiveHighWaterMark: 10 })];
    const endpoint = await world.link(pull, push);
    for (let i = 0; i < 300; i++) await push.send([`a${i}`, "x".repeat(20_000)]);
    push.disconnect(endpoint);
    push.connect(endpoint);
    for (let i = 0; i < 300; i++) await push.send([`b${i}`, "x"]);
    const got: string[] = [];
    while (got.length < 600) got.push(String((await within(pull.receive(), "a message"))[0]));
    for (const name of ["a", "b"])
      expect(got.filter((text) => text.startsWith(name))).toEqual(
        Array.from({ length: 300 }, (_, i) => name + i),
      );
  });

  const itWaits = itIf(world.engine, !world.inProcess, "a peer in the same process has everything at once");

  itWaits("goes on with the peer's successor when the connection is lost meanwhile", async () => {
    const push = world.push({ sendHighWaterMark: 0, reconnectInterval: 10 });
    const [pull, successor] = [world.pull({ receiveHighWaterMark: 10 }), world.pull()];
    const endpoint = await world.link(pull, push);
    await push.send("first");
    await collect(pull, 1);
    for (let i = 0; i < 1_000; i++) await push.send([String(i), "x".repeat(20_000)]);
    push.disconnect(endpoint);
    await pull.close({ linger: 0 });
    await successor.bind(endpoint);
    let last = "";
    while (last !== "999") last = String((await within(successor.receive(), "a message"))[0]);
  });

  it("is followed by a close that waits for the longest linger, too", async () => {
    const [push, pull] = [world.push({ reconnectInterval: 10, linger: 2_147_483_647 }), world.pull()];
    const endpoint = await world.bind(pull);
    await pull.unbind(endpoint);
    push.connect(endpoint);
    await push.send("0");
    push.disconnect(endpoint);
    let closed = false;
    const closing = push.close().finally(() => (closed = true));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).toBe(false);
    await pull.bind(endpoint);
    expect(await collect(pull, 1)).toEqual(["0"]);
    expect(await within(closing, "close")).toMatchObject({ flushed: 1 });
  });

  it("is followed by a close whose linger covers it, too", async () => {
    const [push, pull] = [world.push({ sendHighWaterMark: 0 }), world.pull({ receiveHighWaterMark: 10 })];
    const endpoint = await world.link(pull, push);
    for (let i = 0; i < 500; i++) await push.send([String(i), "x".repeat(20_000)]);
    push.disconnect(endpoint);
    const closing = push.close({ linger: 8_000 });
    const got: string[] = [];
    while (got.length < 500) got.push(String((await within(pull.receive(), "a message"))[0]));
    expect(got).toEqual(numbers(500));
    expect(await within(closing, "close")).toMatchObject({ flushed: 500, discarded: 0 });
  });

  it("is over when a close without linger comes", async () => {
    const [push, pull] = [world.push({ reconnectInterval: 10 }), world.pull()];
    const endpoint = await world.bind(pull);
    await pull.unbind(endpoint);
    push.connect(endpoint);
    for (let i = 0; i < 10; i++) await push.send(String(i));
    push.disconnect(endpoint);
    const { flushed, discarded, unknown } = await within(push.close({ linger: 0 }), "close");
    expect([flushed, discarded + unknown]).toEqual([0, 10]);
    await pull.bind(endpoint);
    // libzmq itself goes on for as long as the socket's linger was when it was disconnected.
    if (world.engine === "libzmq") expect(await collect(pull, 10)).toEqual(numbers(10));
    else await expect(pull.receive({ timeout: 50 })).rejects.toMatchObject({ code: "EAGAIN" });
  });

  const itCounts = itIf(world.engine, world.engine !== "libzmq", "does not count what is thrown away");

  itCounts("gives up when the linger is over, and counts what was lost", async () => {
    for (const linger of [0, 30]) {
      const push = world.push({ linger });
      const endpoint = world.deadEndpoint();
      push.connect(endpoint);
      for (let i = 0; i < 10; i++) await push.send(String(i));
      push.disconnect(endpoint);
      if (linger > 0) expect(push.stats()).toMatchObject({ queued: 10, delivered: 0 });
      await until(() => push.stats().dropped.disconnected === 10, "the end of the linger");
      expect(push.stats()).toMatchObject({ sent: 10, queued: 0, delivered: 0 });
    }
  });

  itIf(
    world.engine,
    (capabilities) => capabilities.peerEvents.includes(world.transport),
    "reports no peers here",
  )("reports at once that the peer has left, and counts it no more", async () => {
    const [dealer, router] = [world.dealer(), world.router({ receiveHighWaterMark: 5 })];
    const endpoint = await world.link(router, dealer);
    await dealer.ready();
    const left: string[] = [];
    dealer.events.on("peer:leave", ({ reason }) => left.push(reason));
    for (let i = 0; i < 200; i++) await dealer.send(["x".repeat(20_000)]);
    dealer.disconnect(endpoint);
    await until(() => left.length > 0, "peer:leave");
    expect(left).toEqual(["local"]);
    expect(dealer.stats().peers).toBe(0);
    await turn();
    for (let i = 0; i < 200; i++) await within(router.receive(), "a message");
    expect(left).toEqual(["local"]);
  });
});
