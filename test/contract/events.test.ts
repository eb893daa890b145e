import { expect, it } from "vitest";
import type { EventOfType, SocketEvent } from "../../src/index.js";
import { capabilitiesOf, describeTransports, describeWired, itIf } from "./support/engines.js";
import { collect, failure, nextEvent, thrown, turn, until } from "./support/wait.js";

describeWired("events of a connection", (world) => {
  const itHears = itIf(
    world.engine,
    ({ peerEvents }) => peerEvents.includes(world.transport),
    `has no events over ${world.transport}`,
  );

  itHears("report its whole life on both sides, to listeners and to a loop alike", async () => {
    const [pull, push] = [world.pull(), world.push({ reconnectInterval: 5 })];
    const heard: string[] = [];
    const looped: string[] = [];
    for (const type of ["bind", "accept", "handshake", "peer:join", "disconnect", "peer:leave"] as const)
      pull.events.on(type, (event) => heard.push(event.type));
    const loop = (async () => {
      for await (const event of pull.events) looped.push(event.type);
    })();
    const endpoint = await world.bind(pull);
    const connected = nextEvent(push, "connect");
    const shaken = nextEvent(push, "handshake");
    const joined = nextEvent(push, "peer:join");
    push.connect(endpoint);
    for (const event of await Promise.all([connected, shaken, joined])) expect(event.address).toBe(endpoint);
    await push.send("x");
    await collect(pull, 1);
    const left = nextEvent(pull, "peer:leave");
    await push.close({ linger: 0 });
    expect((await left).address).toBe(endpoint);
    const expected = ["accept", "handshake", "peer:join", "disconnect", "peer:leave"];
    expect(heard.filter((type) => type !== "bind")).toEqual(expected);
    await pull.close({ linger: 0 });
    await loop;
    expect(looped.filter((type) => expected.includes(type))).toEqual(expected);
    expect(looped.at(-1)).toBe("end");
  });

  itHears("report why nobody can be reached, and so does the time-out of ready", async () => {
    const [pull, push] = [world.pull(), world.push({ reconnectInterval: 5 })];
    const endpoint = await world.bind(pull);
    await pull.close({ linger: 0 });
    push.connect(endpoint);
    const { error, interval } = await nextEvent(push, "connect:retry");
    expect(interval).toBeGreaterThan(0);
    const tells = world.engine !== "libzmq" && !world.inPage;
    const code = tells ? (world.transport === "ipc" ? "ENOENT" : "ECONNREFUSED") : "ERR_TRANSPORT";
    expect(error).toMatchObject({ name: "TransportError", code, endpoint });
    const late = await failure(push.ready({ timeout: 30 }));
    expect(late).toMatchObject({ code: "ETIMEDOUT", cause: { code, endpoint } });
    expect(late.message).toContain((late.cause as Error).message);
    const server = world.pull();
    await server.bind(endpoint);
    await push.ready({ timeout: 8_000 });
    expect((await failure(push.ready({ peers: 2, timeout: 10 }))).cause).toBeUndefined();
  });
});

describeTransports("events", (world) => {
  it("end is the last one, once, after which the observer is closed", async () => {
    const push = world.push();
    await world.bind(push);
    const ends: SocketEvent[] = [];
    push.events.on("end", (event) => ends.push(event));
    const { events } = push;
    expect(events.closed).toBe(false);
    await push.close({ linger: 0 });
    await push.close({ linger: 0 });
    expect(ends).toEqual([{ type: "end" }]);
    expect(events.closed).toBe(true);
    const rest: string[] = [];
    for await (const { type } of events) rest.push(type);
    expect((await failure(events.receive())).code).toBe("EBADF");
  });

  it("subscribe and unsubscribe report topics to a publisher", async () => {
    const [publisher, subscriber] = [world.publisher(), world.subscriber()];
    const heard: string[] = [];
    publisher.events.on("subscribe", ({ topic }) => heard.push(`+${topic}`));
    publisher.events.on("unsubscribe", ({ topic }) => heard.push(`-${topic}`));
    await world.link(publisher, subscriber);
    await subscriber.ready({ timeout: 4_000 });
    subscriber.subscribe("a", "");
    subscriber.unsubscribe("a");
    await until(() => heard.length >= 3, "three events");
    expect(heard.sort()).toEqual(["+", "+a", "-a"]);
  });
});

describeTransports("an address in use", (world) => {
  const { peerEvents } = capabilitiesOf(world.engine);
  const [runs, why] =
    world.engine === "libzmq" && world.transport === "ipc"
      ? [false, "takes over a path that is in use"]
      : [peerEvents.includes(world.transport), `has no events over ${world.transport}`];
  const itHears = itIf(world.engine, runs, why);
  /** libzmq leaves the scheme out. */
  const named = (endpoint: string): RegExp => new RegExp(`${endpoint.replace(/^\w+:\/\//, "")}$`);

  itHears("is reported as bind:error, once, as the call's own error reports it", async () => {
    const [first, second] = [world.pull(), world.pull()];
    const endpoint = await world.bind(first);
    const all: EventOfType<"bind:error">[] = [];
    second.events.on("bind:error", (event) => all.push(event));
    const event = nextEvent(second, "bind:error");
    const error = await failure(second.bind(endpoint));
    expect(error).toMatchObject({ code: "EADDRINUSE", endpoint, address: endpoint });
    await event;
    await turn();
    expect(all).toMatchObject([{ error: { code: "EADDRINUSE" } }]);
    expect(all[0]?.address).toMatch(named(endpoint));
  });

  itHears("is reported by bindSync, too", async () => {
    const [first, second] = [world.pull(), world.pull()];
    const endpoint = await world.bind(first);
    const event = nextEvent(second, "bind:error");
    expect(thrown(() => second.bindSync(endpoint)).code).toBe("EADDRINUSE");
    const { address, error } = await event;
    expect([error.code, named(endpoint).test(address)]).toEqual(["EADDRINUSE", true]);
  });
});
