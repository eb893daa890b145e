/** A proxy takes endpoints and gives them up while it runs, on every engine. */
import { describe, expect, it } from "vitest";
import { Pull, Push } from "../../src/index.js";
import { type ProxyEvent, StreamerProxy } from "../../src/proxy/index.js";
import { texts } from "../contract/support/wait.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";
import { ANY, back, ENGINES, front, LIMIT, useWorld } from "./support.js";

const heard = (proxy: StreamerProxy, type: ProxyEvent["type"]): Promise<unknown> =>
  new Promise((resolve) => proxy.events.on(type, resolve));

describe.each(ENGINES)("engine %s", (engine) => {
  const world = useWorld(engine);
  const { context, sides } = world;

  async function bound(): Promise<[Pull, string]> {
    const pull = world.socket(new Pull({ context }));
    return [pull, await pull.bind(ANY)];
  }

  it("passes what comes by an endpoint that was bound or connected later", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const later = await proxy.bind("frontend", ANY);
    expect(proxy.endpoints.frontend).toEqual([front(proxy), later]);
    const [pull, there] = await bound();
    await proxy.connect("backend", there);
    const push = world.peer(new Push({ context }), later);
    await push.send("1");
    expect(texts(await pull.receive({ timeout: LIMIT }))).toEqual(["1"]);
    await proxy.disconnect("backend", there);
    const other = world.peer(new Pull({ context }), back(proxy));
    await push.send("2");
    expect(texts(await other.receive({ timeout: LIMIT }))).toEqual(["2"]);
  });

  it("connects a side to what a source has, and needs no other endpoint there", async () => {
    const [[one, first], [two, second]] = [await bound(), await bound()];
    const source = new ListedEndpoints([first]);
    const proxy = await world.start(new StreamerProxy({ ...sides, backend: { connect: source } }));
    const push = world.peer(new Push({ context }), front(proxy));
    await push.send("1");
    expect(texts(await one.receive({ timeout: LIMIT }))).toEqual(["1"]);
    source.set(second);
    await one.close();
    await push.send("2");
    expect(texts(await two.receive({ timeout: LIMIT }))).toEqual(["2"]);
  });

  it("reports a source that fails, and an endpoint of it that cannot be used", async () => {
    const source = new ListedEndpoints(["tcp://no-port"]);
    const proxy = new StreamerProxy({ ...sides, backend: { connect: source } });
    const refused = heard(proxy, "endpoint:refused");
    const failed = heard(proxy, "source:failed");
    await world.start(proxy);
    const error = { code: "EINVAL" };
    expect(await refused).toMatchObject({ side: "backend", address: "tcp://no-port", error });
    source.fail(new Error("the registry is away"));
    const away = { code: "ERR_SOURCE", cause: { message: "the registry is away" } };
    expect(await failed).toMatchObject({ side: "backend", interval: expect.any(Number), error: away });
  });

  it.runIf(engine === "zmtp")("reports connections that it cannot accept", async () => {
    const proxy = new StreamerProxy({ ...sides, frontend: { bind: ANY, maxConnections: 1 } });
    const joined = heard(proxy, "peer:joined");
    const failed = heard(proxy, "accept:failed");
    await world.start(proxy);
    const [first, second] = [world.socket(new Push({ context })), world.socket(new Push({ context }))];
    first.connect(front(proxy));
    await joined;
    second.connect(front(proxy));
    expect(await failed).toMatchObject({ side: "frontend", failed: 1, error: { code: "EMFILE" } });
  });

  it("disconnects from an endpoint of a source, and keeps the others", async () => {
    const [[sourced, listed], [own, other]] = [await bound(), await bound()];
    const source = new ListedEndpoints([listed]);
    const proxy = await world.start(new StreamerProxy({ ...sides, backend: { connect: source } }));
    const push = world.peer(new Push({ context }), front(proxy));
    await push.send("1");
    expect(texts(await sourced.receive({ timeout: LIMIT }))).toEqual(["1"]);
    await proxy.connect("backend", other);
    await proxy.disconnect("backend", listed);
    expect(proxy.stats().backend.connected).toEqual([other]);
    await push.send("2");
    expect(texts(await own.receive({ timeout: LIMIT }))).toEqual(["2"]);
  });

  it("gives an endpoint free for others, by its name or as it was asked for", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const first = front(proxy);
    const later = await proxy.bind("frontend", ANY);
    await proxy.unbind("frontend", later);
    await proxy.unbind("frontend", ANY);
    expect(proxy.endpoints.frontend).toEqual([]);
    const pull = world.socket(new Pull({ context }));
    await pull.bind(first);
    await pull.bind(later);
    await expect(proxy.unbind("frontend", later)).rejects.toMatchObject({ code: "ENOENT" });
    await expect(proxy.bind("frontend", later)).rejects.toMatchObject({ code: "EADDRINUSE" });
    expect(proxy.state).toBe("running");
  });

  it("refuses what leads back to itself, on either way, and what it has already", async () => {
    const proxy = await world.start(new StreamerProxy(sides));
    const own = front(proxy);
    await expect(proxy.connect("backend", own)).rejects.toMatchObject({ code: "EINVAL", endpoint: own });
    const there = await proxy.bind("frontend", ANY);
    await proxy.unbind("frontend", there);
    await proxy.connect("backend", there);
    await expect(proxy.connect("backend", there)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(proxy.bind("frontend", there)).rejects.toMatchObject({ code: "EINVAL" });
    expect(proxy.endpoints.frontend).toEqual([own]);
    await expect(proxy.bind("capture", ANY)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(proxy.connect("frontend", "nowhere")).rejects.toMatchObject({ code: "EINVAL" });
    const bare = Object.create(null);
    await expect(proxy.connect("frontend", bare)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(proxy.bind(bare, ANY)).rejects.toMatchObject({ code: "EINVAL" });
    await expect(proxy.setPolicy(bare, {})).rejects.toMatchObject({ code: "EINVAL" });
    for (const name of [bare, "capture", undefined]) {
      expect(() => proxy.setCertificates(name, {})).toThrow(expect.objectContaining({ code: "EINVAL" }));
      expect(() => proxy.revoke(name, () => true)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    }
    await expect(proxy.disconnect("frontend", "tcp://127.0.0.1:9")).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("does so while it runs or is paused, and at no other time", async () => {
    const proxy = new StreamerProxy(sides);
    await expect(proxy.bind("frontend", ANY)).rejects.toMatchObject({ code: "EFSM" });
    await world.start(proxy);
    proxy.pause();
    await proxy.unbind("frontend", await proxy.bind("frontend", ANY));
    await proxy.close();
    await expect(proxy.connect("frontend", "tcp://127.0.0.1:9")).rejects.toMatchObject({ code: "EFSM" });
  });
});
