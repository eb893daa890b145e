/** Peers over inproc that find no place: a PAIR's second, a routing id that is in use. They get it when it is free. */
import { describe, expect, it } from "vitest";
import { collect, nextEvent, turn, until } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";

const world = new World("zmtp", "inproc");

describe("a PAIR that was refused", () => {
  it.each(["close", "disconnect"] as const)("takes the place of the first at its %s", async (how) => {
    const [bound, first, second, third] = [world.pair(), world.pair(), world.pair(), world.pair()];
    const endpoint = await world.link(bound, first);
    const refused = nextEvent(second, "handshake:error:other");
    second.connect(endpoint);
    await refused;
    third.connect(endpoint);
    await second.send("second");
    if (how === "close") await first.close({ linger: 0 });
    else first.disconnect(endpoint);
    expect(await collect(bound, 1)).toEqual(["second"]);
    expect([bound, second, third].map((pair) => pair.stats().peers)).toEqual([1, 1, 0]);
    await bound.send("answer");
    expect(await collect(second, 1)).toEqual(["answer"]);
    await second.close({ linger: 0 });
    await third.send("third");
    expect(await collect(bound, 1)).toEqual(["third"]);
  });

  it("and disconnected meanwhile does not come", async () => {
    const [bound, first, second] = [world.pair(), world.pair(), world.pair()];
    const endpoint = await world.link(bound, first);
    second.connect(endpoint);
    second.disconnect(endpoint);
    await first.close({ linger: 0 });
    await turn();
    expect(bound.stats().peers).toBe(0);
  });

  it("meets the next socket that binds the name", async () => {
    const [bound, first, second, next] = [world.pair(), world.pair(), world.pair(), world.pair()];
    const endpoint = await world.link(bound, first);
    second.connect(endpoint);
    await bound.unbind(endpoint);
    await next.bind(endpoint);
    await second.send("hello");
    expect(await collect(next, 1)).toEqual(["hello"]);
    expect(bound.stats().peers).toBe(1);
  });

  it("because it has a peer itself connects when that one is gone", async () => {
    const [one, other, pair] = [world.pair(), world.pair(), world.pair()];
    const [first, second] = [await world.bind(one), await world.bind(other)];
    const refused = nextEvent(pair, "handshake:error:other");
    pair.connect(first);
    pair.connect(second);
    await refused;
    expect(other.stats().peers).toBe(0);
    pair.disconnect(first);
    await pair.send("hello");
    expect(await collect(other, 1)).toEqual(["hello"]);
  });

  it("for a peer over tcp comes when that one is gone", async () => {
    const [bound, remote, local] = [world.pair(), world.pair(), world.pair()];
    await bound.bind("tcp://127.0.0.1:*");
    remote.connect(bound.lastEndpoint as string);
    await bound.ready({ peers: 1, timeout: 4_000 });
    const endpoint = await world.bind(bound);
    local.connect(endpoint);
    expect(local.stats().peers).toBe(0);
    await remote.close({ linger: 0 });
    await until(() => local.stats().peers === 1, "the peer over inproc");
  });
});

it("a DEALER whose routing id was in use is let in when the id is free", async () => {
  const [router, first, second] = [
    world.router(),
    world.dealer({ routingId: "same" }),
    world.dealer({ routingId: "same" }),
  ];
  const endpoint = await world.link(router, first);
  const refused = nextEvent(router, "handshake:error:other");
  second.connect(endpoint);
  expect((await refused).error.message).toContain("routing id");
  await second.send("second");
  await first.close({ linger: 0 });
  expect(await collect(router, 1)).toEqual(["same|second"]);
});

it("a hundred that wait for one place get it one after the other", async () => {
  const bound = world.pair();
  const endpoint = await world.bind(bound);
  const all = Array.from({ length: 100 }, () => world.pair());
  for (const pair of all) pair.connect(endpoint);
  for (const [i, pair] of all.entries()) {
    await pair.send(String(i));
    expect(await collect(bound, 1)).toEqual([String(i)]);
    await pair.close({ linger: 0 });
  }
  expect(bound.stats().peers).toBe(0);
});
