/** What leads from one configuration to the next, over generated pairs, in a world that has each endpoint once. */
import { describe, expect, it } from "vitest";
import { type Change, changed, difference } from "../../../src/proxy/config/fleet.js";
import type { Proxies, ProxyConfiguration, SocketConfiguration } from "../../../src/proxy/config/model.js";
import { socketsOf } from "../../../src/proxy/config/model.js";
import { overlaps } from "../../../src/proxy/own-endpoints.js";
import fc from "../../support/properties.js";

const NAMES = ["a", "b", "c"] as const;
const SOCKETS = ["frontend", "backend", "capture", "control"] as const;
const PORTS = [5001, 5002, 5003, 5004];
const HOSTS = ["*", "127.0.0.1"];

/** Who has a port, if anybody: each is bound once in a configuration. */
const owner = fc.option(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...SOCKETS)), { nil: undefined });
const socketPart = fc.record({
  wildcards: fc.nat({ max: 2 }),
  connect: fc.uniqueArray(fc.constantFrom(...PORTS), { maxLength: 2 }),
  linger: fc.constantFrom(0, 0, 0, 1),
  policy: fc.constantFrom(undefined, { addresses: { deny: ["10.0.0.0/8"] } }, { limits: { messageSize: 1 } }),
  there: fc.boolean(),
});
const proxies: fc.Arbitrary<Proxies> = fc
  .record({
    owners: fc.tuple(...PORTS.map(() => fc.tuple(owner, fc.constantFrom(...HOSTS)))),
    there: fc.tuple(...NAMES.map(() => fc.boolean())),
    kinds: fc.tuple(...NAMES.map(() => fc.constantFrom("queue", "queue", "queue", "streamer"))),
    parts: fc.tuple(...NAMES.map(() => fc.tuple(...SOCKETS.map(() => socketPart)))),
  })
  .map(({ owners, there, kinds, parts }) => {
    const result: Record<string, ProxyConfiguration> = {};
    for (const [at, name] of NAMES.entries()) {
      if (there[at] !== true) continue;
      const isOwn = (port: number): boolean => owners[PORTS.indexOf(port)]?.[0]?.[0] === name;
      const sockets = SOCKETS.flatMap((socket, s) => {
        const part = parts[at]?.[s] as (typeof parts)[number][number];
        if (s > 1 && !part.there) return [];
        const own = PORTS.flatMap((port, p) => {
          const [who, host] = owners[p] as (typeof owners)[number];
          return who?.[0] === name && who[1] === socket ? [`tcp://${host}:${port}`] : [];
        });
        const made: SocketConfiguration = {
          bind: [...own, ...Array.from({ length: part.wildcards }, () => "tcp://127.0.0.1:*")],
          connect: part.connect.filter((port) => !isOwn(port)).map((port) => `tcp://127.0.0.1:${port}`),
          options: { linger: part.linger },
          ...(part.policy === undefined ? {} : { policy: part.policy }),
        };
        return [[socket, made] as const];
      });
      result[name] = { kind: kinds[at] as "queue", ...Object.fromEntries(sockets) } as ProxyConfiguration;
    }
    return result;
  });

/** With lists in one order, since a socket's endpoints have none. */
function sorted(all: Proxies): unknown {
  const of = ([name, { bind, connect, ...rest }]: ReturnType<typeof socketsOf>[number]) =>
    [name, bind.toSorted(), connect.toSorted(), rest] as const;
  return Object.fromEntries(
    Object.entries(all).map(([name, proxy]) => [
      name,
      { kind: proxy.kind, sockets: socketsOf(proxy).map(of) },
    ]),
  );
}

const bindsOf = (proxy: ProxyConfiguration): readonly string[] =>
  socketsOf(proxy).flatMap(([, { bind }]) => bind);
const connectsOf = (proxy: ProxyConfiguration): readonly string[] =>
  socketsOf(proxy).flatMap(([, { connect }]) => connect);

/** No endpoint is bound twice, and no proxy connects to itself. */
function assertPossible(world: Proxies): void {
  const bound = Object.values(world).flatMap(bindsOf);
  for (const [at, one] of bound.entries())
    for (const other of bound.slice(at + 1)) expect(overlaps(one, other), `${one} ${other}`).toBe(false);
  for (const proxy of Object.values(world))
    for (const connect of connectsOf(proxy))
      expect(bindsOf(proxy).some((bind) => overlaps(connect, bind))).toBe(false);
}

/** As a machine would make it: what is not there cannot go, and what is there cannot come. */
function make(world: Proxies, change: Change): Proxies {
  if (change.do === "start") expect(world[change.proxy]).toBeUndefined();
  else {
    const proxy = world[change.proxy] as ProxyConfiguration;
    expect(proxy).toBeDefined();
    if (change.do === "stop") expect(sorted({ x: proxy })).toEqual(sorted({ x: change.configuration }));
    else {
      const socket = proxy[change.socket] as SocketConfiguration;
      if (change.do === "unbind") expect(socket.bind).toContain(change.endpoint);
      if (change.do === "disconnect") expect(socket.connect).toContain(change.endpoint);
      if (change.do === "connect") expect(socket.connect).not.toContain(change.endpoint);
      if (change.do === "policy") expect(socket.policy).not.toEqual(change.policy);
    }
  }
  const after = changed(world, change);
  assertPossible(after);
  return after;
}

describe("the difference of two configurations", () => {
  it("leads from one to the other, on a way that is possible at each step", () => {
    fc.assert(
      fc.property(proxies, proxies, (before, after) => {
        let world = before;
        for (const change of difference(before, after)) world = make(world, change);
        expect(sorted(world)).toEqual(sorted(after));
        expect(difference(world, after)).toEqual([]);
      }),
      { numRuns: 300, defaultRuns: 100 },
    );
  });

  it("can be turned back from anywhere", () => {
    fc.assert(
      fc.property(proxies, proxies, fc.nat({ max: 20 }), (before, after, steps) => {
        const made = difference(before, after).slice(0, steps);
        let world = made.reduce(changed, before);
        for (const change of difference(world, before)) world = make(world, change);
        expect(sorted(world)).toEqual(sorted(before));
      }),
      { numRuns: 300, defaultRuns: 100 },
    );
  });

  it("adds before it takes away", () => {
    const side = (bind: string, connect: string) => ({ bind: [bind], connect: [connect], options: {} });
    const backend = side("tcp://*:*", "tcp://there:1");
    const proxy = (port: number, connect: string): ProxyConfiguration => {
      return { kind: "streamer", frontend: side(`tcp://*:${port}`, connect), backend };
    };
    const kinds = (from: Proxies, to: Proxies): string[] => difference(from, to).map((each) => each.do);
    const before = { a: proxy(1, "tcp://there:2"), b: proxy(3, "tcp://there:2") };
    const made = kinds(before, { ...before, a: proxy(4, "tcp://there:5") });
    expect(made).toEqual(["bind", "connect", "unbind", "disconnect"]);
  });
});
