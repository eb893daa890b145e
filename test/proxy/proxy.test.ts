/** The proxy of the package `zeromq`: how it ends. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { Dealer, Proxy as MessageProxy, Pair, Pull, Push, Router, type Socket } from "../../src/index.js";
import { turn, until, within } from "../contract/support/wait.js";
import { ANY, LIMIT, useWorld } from "./support.js";

const SIDES = ["frontEnd", "backEnd"] as const;

describe.each([...ENGINE_NAMES])("engine %s: a proxy", (engine) => {
  const world = useWorld(engine);
  const { context } = world;

  async function run(frontEnd: Socket, backEnd: Socket) {
    for (const socket of [frontEnd, backEnd]) await world.socket(socket).bind(ANY);
    const proxy = new MessageProxy(frontEnd, backEnd);
    return { proxy, running: proxy.run() };
  }

  it.each(SIDES)("that is paused ends when its %s is closed", async (side) => {
    const { proxy, running } = await run(new Router({ context }), new Dealer({ context }));
    proxy.pause();
    await turn(); // What waits for messages has ended.
    await proxy[side].close();
    await within(running, "the proxy's end");
    expect([proxy.frontEnd.closed, proxy.backEnd.closed]).toEqual([true, true]);
  });

  it.each(SIDES)("of one direction that waits for a message ends when its %s is closed", async (side) => {
    const { proxy, running } = await run(new Pull({ context }), new Push({ context }));
    await proxy[side].close();
    await within(running, "the proxy's end");
    expect([proxy.frontEnd.closed, proxy.backEnd.closed]).toEqual([true, true]);
  });

  it("passes on many small messages of a client with a long routing id that came together", async () => {
    const { proxy } = await run(new Router({ context }), new Pair({ context }));
    const routingId = "i".repeat(255);
    const client = world.peer(new Dealer({ context, routingId }), proxy.frontEnd.lastEndpoint as string);
    const pair = world.peer(new Pair({ context }), proxy.backEnd.lastEndpoint as string);
    const bodies = Array.from({ length: 3_000 }, (_, i) => `${i}`.padEnd(40));
    const sending = (async () => {
      for (const body of bodies) await client.send(body);
    })();
    for (const body of bodies)
      expect((await pair.receive({ timeout: LIMIT })).map(String)).toEqual([routingId, body]);
    await sending;
  });

  it("counts what it took for a socket that its program has closed as lost there", async () => {
    const [front, back] = [world.socket(new Pull({ context })), world.socket(new Push({ context }))];
    const source = world.peer(new Push({ context }), await front.bind(ANY));
    world.peer(new Pull({ context }), await back.bind(ANY));
    await back.ready();
    for (let i = 0; i < 2; i++) await source.send(`${i}`);
    // libzmq does not count what waits: there the second one may come too late, and then nothing is lost.
    if (engine === "zmtp") await until(() => front.stats().receiveQueued === 2, "both messages");
    // Within the call that has passed the first message: the next one finds it closed.
    const proxy = new MessageProxy(front, back, () => void back.close({ linger: 0 }));
    const running = proxy.run();
    await within(running, "the proxy's end");
    const { sent, delivered, dropped } = back.stats();
    const { received } = front.stats();
    if (engine === "zmtp") expect(received).toBe(2);
    expect(sent).toBe(received);
    expect(delivered + dropped.closed).toBe(sent);
  });
});
