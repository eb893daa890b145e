/** What each socket type of each engine has in addition to the message path, and that the capabilities say the same. */
import { afterEach, describe, expect, test } from "vitest";
import { SocketType, type SocketTypeName } from "../../src/core/socket-type.js";
import type { EngineListener, EngineSocket } from "../../src/engine/engine.js";
import { ENGINE_NAMES, selectEngine } from "../../src/engine/select.js";

const LISTENER: EngineListener = {
  engineOnReadable: () => undefined,
  engineOnWritable: () => undefined,
  engineOnEvent: () => undefined,
  engineAuthenticate: undefined,
};

const OPTIONAL = [
  "subscriptions",
  "relaySource",
  "relaySink",
  "directed",
  "peerQueues",
  "policing",
  "retirement",
] as const;

/** Of every socket type of an engine. */
const ALWAYS: Readonly<Record<string, readonly string[]>> = {
  zmtp: ["policing", "retirement"],
  libzmq: [],
};

const BY_TYPE: Readonly<Record<string, Partial<Record<SocketTypeName, readonly string[]>>>> = {
  zmtp: {
    Pair: ["relaySource", "relaySink"],
    Publisher: ["relaySink"],
    XPublisher: ["subscriptions", "relaySink", "directed"],
    Subscriber: ["subscriptions", "relaySource"],
    XSubscriber: ["relaySource"],
    Push: ["relaySink"],
    Pull: ["relaySource"],
    Dealer: ["relaySource", "relaySink"],
    Router: ["relaySource", "relaySink", "peerQueues"],
    Stream: ["peerQueues"],
    Server: ["peerQueues"],
    Peer: ["peerQueues"],
    Dish: ["subscriptions"],
    Datagram: ["relaySource", "relaySink"],
  },
  libzmq: { Subscriber: ["subscriptions"] },
};

const MISSING: Readonly<Record<string, readonly SocketTypeName[]>> = {
  libzmq: ["Datagram", "Peer", "Channel", "Server", "Client", "Radio", "Dish", "Gather", "Scatter"],
};

const open: EngineSocket[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((socket) => socket.close(0)));
});

describe.each(ENGINE_NAMES)("on %s", (name) => {
  const engine = selectEngine(name);

  function facetsOf(type: SocketTypeName, options: Record<string, unknown> = {}): string[] {
    const socket = engine.createContext({}, false).open(SocketType[type], options, LISTENER);
    open.push(socket);
    return OPTIONAL.filter((facet) => socket[facet] !== undefined);
  }

  const types = (Object.keys(SocketType) as SocketTypeName[]).filter(
    (type) => !MISSING[name]?.includes(type),
  );

  test.each(types)("%s has its facets, and no others", (type) => {
    const expected = [...(BY_TYPE[name]?.[type] ?? []), ...(ALWAYS[name] ?? [])];
    expect(facetsOf(type).sort()).toEqual(expected.sort());
  });

  test.each(types)("%s has the same relay each time", (type) => {
    const socket = engine.createContext({}, false).open(SocketType[type], {}, LISTENER);
    open.push(socket);
    for (const facet of ["relaySource", "relaySink"] as const) expect(socket[facet]).toBe(socket[facet]);
  });

  test("what conflates has no relay: its messages replace each other one by one", () => {
    for (const type of ["Push", "Pull", "Dealer"] as const) {
      expect(facetsOf(type, { conflate: true }).filter((facet) => facet.startsWith("relay"))).toEqual([]);
    }
  });

  test("the capabilities say the same", () => {
    expect(engine.capabilities.queueDepth).toBe(facetsOf("Router").includes("peerQueues"));
  });
});
