/** Waits that would be silent: what is reported of an endpoint that cannot be reached, and to whom. */
import { createServer } from "node:net";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ProtocolError, type ShoalError, TransportError } from "../../src/core/errors.js";
import type { SocketEvent } from "../../src/engine/events.js";
import { Pair, Publisher, Pull, Push, Request, Subscriber } from "../../src/index.js";
import { CloneClient } from "../../src/patterns/clone/index.js";
import { FreelanceClient, FreelanceShotgunClient } from "../../src/patterns/freelance/index.js";
import { MajordomoBroker, MajordomoClient } from "../../src/patterns/majordomo/index.js";
import { PirateClient } from "../../src/patterns/pirate/index.js";
import { SessionClient } from "../../src/sessions/index.js";
import { listen } from "../../src/sockets/internal.js";
import { causeOf, STALLED_AFTER, warnOfStall } from "../../src/sockets/stalls.js";
import { closeAfterEach } from "../support/close-after-each.js";

const warn = vi.spyOn(process, "emitWarning");
beforeEach(() => void warn.mockReset().mockImplementation(() => undefined));
afterEach(() => void vi.useRealTimers());
const own = closeAfterEach();

const warnings = (): string[] => warn.mock.calls.map(([text]) => String(text));

/** On Linux an address that no other test uses: none can take the port meanwhile, to listen at or to connect from. */
const HOST = process.platform === "linux" ? "127.0.0.77" : "127.0.0.1";

/** An endpoint where nobody listens. */
async function deserted(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, HOST, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => void server.close(resolve));
  return `tcp://${HOST}:${port}`;
}

/** A Push that dials again and again. */
function pushTo(endpoint: string): Push {
  const push = own(new Push({ reconnectInterval: 1, linger: 0 }));
  push.connect(endpoint);
  return push;
}

/** The next event of a socket, for which its program does not listen. */
const next = (socket: Push | Subscriber, prefix: string): Promise<SocketEvent> =>
  new Promise((resolve) => {
    listen(socket, (event) => {
      if (event.type.startsWith(prefix)) resolve(event);
    });
  });

it("messages that wait for an endpoint that refuses are reported once, with endpoint, cause and remedy", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const endpoint = await deserted();
  const push = pushTo(endpoint);
  await push.send("waits");
  await next(push, "connect:retry");
  vi.advanceTimersByTime(STALLED_AFTER - 1);
  await next(push, "connect:retry");
  expect(warnings()).toEqual([]);
  vi.advanceTimersByTime(1);
  await next(push, "connect:retry");
  await next(push, "connect:retry");
  expect(warnings()).toEqual([
    `Push has 1 message to send, and no connection to ${endpoint} (connection refused). Check that a peer is bound there; \`linger: 0\` discards it.`,
  ]);
  expect(warn.mock.calls[0]?.[1]).toMatchObject({ code: "SHOAL_UNREACHABLE" });
});

it("nothing is reported where nothing waits, or the program listens", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const endpoint = await deserted();
  const [idle, heard] = [pushTo(endpoint), pushTo(endpoint)];
  heard.events.on("connect:retry", () => undefined);
  await heard.send("waits");
  for (let i = 0; i < 3; i++) {
    vi.advanceTimersByTime(STALLED_AFTER);
    await Promise.all([next(idle, "connect:retry"), next(heard, "connect:retry")]);
  }
  expect(warnings()).toEqual([]);
});

it("socket types that do not fit are reported, also where messages are only waited for", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const push = own(new Push({ linger: 0 }));
  const sub = own(new Subscriber({ reconnectInterval: 1, linger: 0 }));
  sub.connect(await push.bind("tcp://127.0.0.1:*"));
  sub.receive().catch(() => undefined);
  await next(sub, "handshake:error");
  vi.advanceTimersByTime(STALLED_AFTER);
  await next(sub, "handshake:error");
  await next(sub, "handshake:error");
  expect(warnings()).toEqual([
    expect.stringMatching(
      /^Subscriber waits for messages from tcp:.* \(a SUB cannot talk to a PUSH\)\. Check the socket types/,
    ),
  ]);
});

it("messages that are only waited for are reported after as long", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const sub = own(new Subscriber({ reconnectInterval: 1, linger: 0 }));
  sub.connect(await deserted());
  sub.receive().catch(() => undefined);
  await next(sub, "connect:retry");
  vi.advanceTimersByTime(STALLED_AFTER - 1);
  await next(sub, "connect:retry");
  expect(warnings()).toEqual([]);
  vi.advanceTimersByTime(1);
  await next(sub, "connect:retry");
  await next(sub, "connect:retry");
  expect(warnings()).toEqual([expect.stringMatching(/^Subscriber waits for messages .*connection refused/)]);
});

it("a peer that accepts and says nothing is reported to ready() and to messages that wait", async () => {
  const mute = createServer((socket) => void socket.resume());
  own({ close: () => new Promise((resolve) => void mute.close(resolve)) });
  await new Promise<void>((resolve) => void mute.listen(0, HOST, resolve));
  const endpoint = `tcp://${HOST}:${(mute.address() as { port: number }).port}`;
  const warned = new Promise<string>((resolve) => {
    warn.mockImplementation((text) => resolve(String(text)));
  });
  const push = own(new Push({ linger: 0 }));
  push.connect(endpoint);
  const ready = push.ready({ timeout: 4_500 }).catch((error: Error) => error.message);
  expect(await warned).toBe(
    `Push waits for a peer at ${endpoint} (no answer). Check that the peer runs, and its address.`,
  );
  expect(await ready).toBe(`no peer became ready within 4500 ms; no answer from ${endpoint}`);
});

it("an endpoint that was reached since is reported again, after as long as the first time", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const endpoint = await deserted();
  const push = pushTo(endpoint);
  const fail = async (): Promise<void> => {
    await push.send("waits");
    await next(push, "connect:retry");
    vi.advanceTimersByTime(STALLED_AFTER - 1);
    const before = warnings().length;
    await next(push, "connect:retry");
    expect(warnings()).toHaveLength(before);
    vi.advanceTimersByTime(1);
    await next(push, "connect:retry");
    expect(warnings()).toHaveLength(before + 1);
  };
  await fail();
  const pull = own(new Pull());
  await pull.bind(endpoint);
  await pull.receive();
  const left = next(push, "peer:leave");
  await pull.close();
  await left;
  await fail();
});

it("with another peer connected, the endpoint that is missing is reported, too", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const pull = own(new Pull());
  const push = pushTo(await deserted());
  push.connect(await pull.bind("tcp://127.0.0.1:*"));
  await push.ready({ peers: 1 });
  await push.send("waits for the missing one, or goes");
  await push.send("goes, or waits");
  await pull.receive();
  await next(push, "connect:retry");
  vi.advanceTimersByTime(STALLED_AFTER);
  await next(push, "connect:retry");
  await next(push, "connect:retry");
  expect(warnings()).toEqual([
    expect.stringMatching(/^Push has \d messages? to send, and no connection to /),
  ]);
});

it("close() that waits for messages to leave is reported", async () => {
  const pair = new Pair();
  pair.connect("inproc://nobody-binds-this");
  await pair.send("waits");
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const closing = pair.close();
  vi.advanceTimersByTime(STALLED_AFTER - 1);
  expect(warnings()).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(warnings()).toEqual([
    expect.stringMatching(
      /^close\(\) of Pair has 1 message to send, and no connection to inproc:\/\/nobody-binds-this \(no answer\)/,
    ),
  ]);
  vi.useRealTimers();
  const late = new Pair();
  await late.bind("inproc://nobody-binds-this");
  await late.receive();
  await Promise.all([closing, late.close()]);
});

it("a service without workers at a Majordomo broker that has just started is reported once, with its name", async () => {
  const broker = own(new MajordomoBroker());
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const client = own(new MajordomoClient(endpoint));
  const warned = new Promise<unknown[]>((resolve) => {
    warn.mockImplementation((...given: unknown[]) => resolve(given));
  });
  const replies = ["x", "y"].map((body) => client.request("misspelt", body).catch((error: Error) => error));
  const [text, options] = await warned;
  expect(text).toMatch(`waits for the service misspelt: the broker at ${endpoint} has no worker`);
  expect(options).toMatchObject({ code: "SHOAL_NO_SERVICE" });
  expect(client.stats()).toMatchObject({ failed: 0, inFlight: 2 });
  expect(warn).toHaveBeenCalledTimes(1);
  await Promise.all([client.close({ linger: 0 }), broker.close({ linger: 0 })]);
  await Promise.all(replies);
});

it("a driver's sockets, which end with each attempt, warn once none of them has reached the endpoint", async () => {
  const [map, session] = [await deserted(), await deserted()];
  const timeout = 2 * STALLED_AFTER;
  const clone = own(new CloneClient(map, { timeout }));
  const sessions = own(new SessionClient(session, { id: "a", timeout }));
  const errors = await Promise.all([
    clone.set("/a", "x").catch((error: ShoalError) => error),
    sessions.subscribe("t").catch((error: ShoalError) => error),
  ]);
  for (const error of errors)
    expect(error).toMatchObject({ code: "ETIMEDOUT", cause: { code: "ECONNREFUSED" } });
  const about = (endpoint: string): string[] => warnings().filter((text) => text.includes(endpoint));
  expect(about(map)).toEqual([
    expect.stringContaining(`Dealer waits for messages from ${map} (connection refused)`),
  ]);
  expect(about(session)).toEqual([
    expect.stringContaining(
      `Dealer has 1 message to send, and no connection to ${session} (connection refused)`,
    ),
  ]);
});

it("calls that end without a reply name the endpoint, and why it was not reached", async () => {
  const endpoint = await deserted();
  const request = own(new Request({ reconnectInterval: 1, linger: 0 }));
  request.connect(endpoint);
  const majordomo = own(new MajordomoClient(endpoint, { timeout: 200, retries: 0 }));
  const pirate = own(new PirateClient(endpoint, { timeout: 200, retries: 0 }));
  const freelance = own(new FreelanceClient([endpoint], { timeout: 200 }));
  const shotgun = own(new FreelanceShotgunClient([endpoint], { timeout: 200 }));
  const calls = [
    request.request("x", { timeout: 200 }),
    majordomo.request("s", "x"),
    pirate.request("x"),
    freelance.request("x"),
    shotgun.request("x"),
  ];
  for (const result of await Promise.allSettled(calls)) {
    const { reason } = result as PromiseRejectedResult;
    expect(reason).toMatchObject({ code: "ETIMEDOUT", cause: { code: "ECONNREFUSED" } });
    expect(reason.message).toContain(endpoint);
    expect(reason.message).toContain("ECONNREFUSED");
  }
});

it("a cause begins with a small letter, but for an abbreviation", () => {
  const cause = (text: string): string =>
    causeOf(new ProtocolError(`Handshake at tcp://a:1 failed: ${text}`));
  expect([cause("The peer left"), cause("CURVE: HELLO does not open")]).toEqual([
    "the peer left",
    "CURVE: HELLO does not open",
  ]);
});

it("an endpoint among many that was reached counts from its loss, not from its first dial", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const publishers = await Promise.all(
    Array.from({ length: 20 }, async () => {
      const publisher = own(new Publisher({ linger: 0 }));
      return { publisher, endpoint: await publisher.bind("tcp://127.0.0.1:*") };
    }),
  );
  const sub = own(new Subscriber({ reconnectInterval: 1, linger: 0 }));
  for (const { endpoint } of publishers) sub.connect(endpoint);
  await sub.ready();
  sub.receive().catch(() => undefined);
  vi.advanceTimersByTime(STALLED_AFTER);
  await publishers[0]?.publisher.close();
  for (let i = 0; i < 3; i++) await next(sub, "connect:retry");
  expect(warnings()).toEqual([]);
});

it("a socket that dials an endpoint that refused another one before is told of its own failure only", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  const endpoint = await deserted();
  const first = pushTo(endpoint);
  await next(first, "connect:retry");
  await first.close();
  vi.advanceTimersByTime(STALLED_AFTER);
  const pull = own(new Pull());
  await pull.bind(endpoint);
  const second = pushTo(endpoint);
  await second.send("goes");
  await pull.receive();
  await pull.close();
  for (let i = 0; i < 3; i++) await next(second, "connect:retry");
  await second.close();
  vi.advanceTimersByTime(60_001);
  const third = pushTo(endpoint);
  await third.send("waits");
  for (let i = 0; i < 3; i++) await next(third, "connect:retry");
  expect(warnings()).toEqual([]);
});

it("a dial without an answer is reported after its own 3 s, and to a call that waits since", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const pull = own(new Pull());
  const reached = await pull.bind("tcp://127.0.0.1:*");
  const server = createServer((connection) => connection.on("error", () => undefined)).unref();
  const silent = await new Promise<string>((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve(`tcp://127.0.0.1:${(server.address() as { port: number }).port}`);
    });
  });
  const push = own(new Push({ linger: 0 }));
  push.connect(reached);
  await push.ready();
  vi.advanceTimersByTime(STALLED_AFTER - 10);
  push.connect(silent);
  const young = push.ready({ peers: 2, timeout: 50 }).catch((error: Error) => error.message);
  vi.advanceTimersByTime(10);
  expect(warnings()).toEqual([]);
  vi.advanceTimersByTime(50);
  expect(await young).toContain("no answer");
  vi.advanceTimersByTime(2 * STALLED_AFTER);
  expect(warnings()).toEqual([]);
  const late = push.ready({ peers: 2, timeout: 50 }).catch((error: Error) => error.message);
  vi.advanceTimersByTime(STALLED_AFTER);
  expect(warnings()).toEqual([
    `Push waits for 2 peers at ${silent} (no answer). Check that the peer runs, and its address.`,
  ]);
  await late;
});

it("sockets whose causes differ, and many that close at one endpoint, are reported once per cause", async () => {
  vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
  const pairs = Array.from({ length: 3 }, () => new Pair());
  for (const pair of pairs) {
    pair.connect("inproc://nobody-binds-this-either");
    await pair.send("waits");
  }
  const closing = pairs.map((pair) => pair.close({ linger: STALLED_AFTER + 1 }));
  vi.advanceTimersByTime(STALLED_AFTER);
  expect(warnings()).toHaveLength(1);
  vi.advanceTimersByTime(1);
  await Promise.all(closing);
  const causes = ["ECONNREFUSED", "ETIMEDOUT", "ECONNREFUSED", "ETIMEDOUT"] as const;
  for (const code of causes)
    warnOfStall("Push waits for a peer at", "tcp://flips:1", new TransportError(code, "no"));
  expect(warnings()).toHaveLength(3);
});

it("with more endpoints than are remembered, the first ones are still reported", async () => {
  // The record is the process's, and other tests have left endpoints in it.
  vi.resetModules();
  const { isStalled } = await import("../../src/sockets/stalls.js");
  vi.useFakeTimers({ toFake: ["performance"] });
  const error = new TransportError("ECONNREFUSED", "no");
  const attempt = (): number => {
    let stalled = 0;
    for (let i = 0; i < 1_100; i++) if (isStalled(`tcp://many:${i}`, error, true)) stalled += 1;
    return stalled;
  };
  attempt();
  vi.advanceTimersByTime(STALLED_AFTER);
  expect(attempt()).toBeGreaterThan(900);
  vi.advanceTimersByTime(60_001);
  expect(isStalled("tcp://new:1", error, true)).toBe(false);
  vi.advanceTimersByTime(STALLED_AFTER);
  expect(isStalled("tcp://new:1", error, false)).toBe(true);
});
