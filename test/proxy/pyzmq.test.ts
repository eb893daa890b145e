/** pyzmq on both sides of each proxy, and pyzmq as the one who steers it. */
import { endianness } from "node:os";
import { describe, expect, it } from "vitest";
import { ForwarderProxy, QueueProxy, StreamerProxy } from "../../src/proxy/index.js";
import { until } from "../contract/support/wait.js";
import { NO_PYTHON, usePython } from "../interop/python-peer.js";
import { ANY, back, ENGINES, front, useWorld } from "./support.js";

const numbers = (frames: readonly Buffer[]): number[] =>
  frames.map((frame) => Number(endianness() === "LE" ? frame.readBigUInt64LE() : frame.readBigUInt64BE()));

describe.skipIf(NO_PYTHON).each(ENGINES)("pyzmq and the proxies of engine %s", (engine) => {
  const world = useWorld(engine);
  const { sides } = world;
  const peer = usePython();

  async function connected(type: string, endpoint: string) {
    const socket = await peer().open(type);
    await socket.connect(endpoint);
    return socket;
  }

  it("a queue: REQ and REP, ROUTER and DEALER", async () => {
    const proxy = await world.start(new QueueProxy(sides));
    const rep = await connected("REP", back(proxy));
    const req = await connected("REQ", front(proxy));
    await req.send("question", "");
    expect((await rep.receive()).map(String)).toEqual(["question", ""]);
    await rep.send("answer");
    expect((await req.receive()).map(String)).toEqual(["answer"]);
    const dealer = await connected("DEALER", front(proxy));
    await dealer.send("", "asynchronous");
    expect((await rep.receive()).map(String)).toEqual(["asynchronous"]);
    await rep.send("too");
    expect((await dealer.receive()).map(String)).toEqual(["", "too"]);
  });

  it("a queue counts as libzmq's own does", async () => {
    const proxy = await world.start(new QueueProxy({ ...sides, control: { bind: ANY } }));
    const rep = await connected("REP", back(proxy));
    const req = await connected("REQ", front(proxy));
    await req.send("two", "frames");
    await rep.receive();
    await rep.send("two", "frames");
    await req.receive();
    const controller = await connected("REQ", proxy.endpoints.control[0] as string);
    await controller.send("STATISTICS");
    // zmq_proxy_steerable of libzmq 4.3.4 said so: the bytes with the client's routing id, of five.
    expect(numbers(await controller.receive())).toEqual([1, 14, 1, 14, 1, 14, 1, 14]);
  });

  it("a forwarder: subscriptions once, and their end", async () => {
    const proxy = await world.start(new ForwarderProxy(sides));
    const xpub = await connected("XPUB", front(proxy));
    const first = await peer().open("SUB");
    await first.call("subscribe");
    await first.connect(back(proxy));
    expect((await xpub.receive()).map(String)).toEqual(["\x01"]);
    const second = await peer().open("SUB");
    await second.call("subscribe");
    await second.connect(back(proxy));
    await until(() => proxy.stats().backend.peers === 2, "the second");
    await xpub.send("topic", "news");
    expect((await first.receive()).map(String)).toEqual(["topic", "news"]);
    await first.call("close");
    await second.call("close");
    expect((await xpub.receive()).map(String)).toEqual(["\x00"]);
  });

  it("a streamer, steered: paused, counted, resumed, ended", async () => {
    const proxy = await world.start(new StreamerProxy({ ...sides, control: { bind: ANY } }));
    const push = await connected("PUSH", front(proxy));
    const pull = await connected("PULL", back(proxy));
    const controller = await connected("REQ", proxy.endpoints.control[0] as string);
    const ask = async (word: string): Promise<Buffer[]> => {
      await controller.send(word);
      return controller.receive();
    };
    await push.send("one", "");
    expect((await pull.receive()).map(String)).toEqual(["one", ""]);
    expect(await ask("PAUSE")).toEqual([Buffer.alloc(0)]);
    await push.send("two");
    expect(numbers(await ask("STATISTICS"))).toEqual([1, 3, 0, 0, 0, 0, 1, 3]);
    expect(await ask("RESUME")).toEqual([Buffer.alloc(0)]);
    expect((await pull.receive()).map(String)).toEqual(["two"]);
    const stopped = new Promise((resolve) => proxy.events.on("proxy:stopped", resolve));
    expect(await ask("TERMINATE")).toEqual([Buffer.alloc(0)]);
    await stopped;
  });

  it("a streamer's drain takes in what PUSH peers had sent", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const push = await connected("PUSH", front(proxy));
    const pull = await connected("PULL", back(proxy));
    for (let i = 0; i < 20; i++) await push.send(`${i}`);
    await until(() => proxy.stats().frontend.in.messages > 0, "the first");
    expect(await proxy.drain()).toMatchObject({ drained: true });
    await proxy.close();
    for (let i = 0; i < 20; i++) expect(String(await pull.receive())).toBe(`${i}`);
  });
});
