/** What the dashboard decides without a socket: who may ask, states and links of what was read, and where boxes are. */
import { describe, expect, it } from "vitest";
import { hostOf } from "../../src/core/http-server.js";
import { linksOf, memberTexts, pageOf, type SeenProcess, stateOf } from "../../src/dashboard/build.js";
import { layoutOf, MAX_BOXES } from "../../src/dashboard/page/layout.js";
import * as model from "../../src/dashboard/page/model.js";
import { short, since } from "../../src/dashboard/page/model.js";
import { isHostAllowed, isOwnOrigin, TokenCheck } from "../../src/dashboard/server.js";
import type { DashboardProcess, DashboardSide } from "../../src/dashboard/state.js";

const { CHART_TIME, Drops, History, matching, problemsOf, rowOf, totalsOf, withSides } = model;

function processOf(id: string, sources: Record<string, readonly Partial<DashboardSide>[]>): DashboardProcess {
  return {
    id,
    address: `tcp://${id}`,
    up: true,
    sources: Object.entries(sources).map(([name, sides]) => ({
      id: `${id}/${name}`,
      name,
      kind: "streamer",
      state: "running",
      sides: sides.map((side) => ({ side: "socket", rates: {}, ...side })),
      lists: {},
      actions: [],
    })),
  };
}

function stateWith(...processes: DashboardProcess[]) {
  const fixed = { version: 1, time: 10_000, interval: 2_000, control: false, omitted: 0 } as const;
  return { ...fixed, processes, links: linksOf(processes) };
}

describe("who may ask", () => {
  it("a Host that is an address or localhost, and no other name unless it is allowed", () => {
    for (const host of ["127.0.0.1:9465", "localhost", "[::1]:9465", "10.0.0.7:80", "LOCALHOST:1"])
      expect([host, isHostAllowed(host, [])]).toEqual([host, true]);
    const evil = ["evil.example", "evil.example:9465", "127.0.0.1.evil.example", "127.0.0.1@x"];
    for (const host of [undefined, "", ...evil, "a b", "localhost:999999"])
      expect([host, isHostAllowed(host, [])]).toEqual([host, false]);
    expect(isHostAllowed("Ops.Example:9465", ["ops.example"])).toBe(true);
    expect(hostOf("[2001:DB8::1]:80")).toBe("2001:db8::1");
  });

  it("an Origin of its own, or none", () => {
    expect(isOwnOrigin(undefined, "localhost:9465")).toBe(true);
    expect(isOwnOrigin("http://localhost:9465", "localhost:9465")).toBe(true);
    expect(isOwnOrigin("https://ops.example", "ops.example")).toBe(true);
    for (const origin of ["null", "http://localhost:9466", "http://evil.example", ""])
      expect([origin, isOwnOrigin(origin, "localhost:9465")]).toEqual([origin, false]);
  });

  it("the token, and after 30 wrong ones in a minute nobody until it is over", () => {
    const check = new TokenCheck("0123456789abcdef");
    expect(check.check("Bearer 0123456789abcdef", 0)).toBe("right");
    for (const wrong of [undefined, "", "Bearer ", "Bearer 0123456789abcde", "Basic 0123456789abcdef"])
      expect(check.check(wrong, 1)).toBe("wrong");
    for (let i = 5; i < 30; i++) check.check("Bearer x", 2);
    expect(check.check("Bearer 0123456789abcdef", 59_999)).toBe("too many");
    expect(check.check("Bearer 0123456789abcdef", 60_000)).toBe("right");
  });
});

describe("states", () => {
  const frontend = { bound: Array(50).fill("tcp://h:1"), connected: [] };
  const seen = (sources: number, id = "p0"): SeenProcess => ({
    id,
    address: "a".repeat(1_000),
    up: true,
    reading: {
      sources: Array.from({ length: sources }, (_, at) => {
        const sides = [{ side: "frontend", rates: {} }];
        return { name: `s${at}`.padEnd(500, "x"), kind: "streamer", state: "running", sides };
      }),
    },
    details: new Map([["s0".padEnd(500, "x"), { sides: { frontend }, actions: ["pause"] }]]),
  });

  it("are bounded in sources, endpoints and characters, whatever was answered", () => {
    const state = stateOf([seen(1_500), seen(1_500, "p1")], { time: 1, interval: 2, control: true });
    expect(state.processes.map(({ sources }) => sources.length)).toEqual([1_500, 500]);
    expect(state.omitted).toBe(1_000);
    const [first] = state.processes[0]?.sources ?? [];
    expect(first?.name).toHaveLength(256);
    expect(first?.sides[0]?.bound).toHaveLength(16);
    expect(first?.actions).toEqual(["pause"]);
    expect(state.processes[0]?.address).toHaveLength(256);
  });

  it("link a node with its members: watched ones once, others by name and state", () => {
    const nodeOf = (id: string, name: string, members: readonly string[]): DashboardProcess => {
      const process = processOf(id, { [name]: [] });
      return { ...process, sources: process.sources.map((source) => ({ ...source, members })) };
    };
    const links = linksOf([nodeOf("p0", "a", ["b", "c, lost"]), nodeOf("p1", "b", ["a", "c, lost"])]);
    const shown = links.map(({ from, to, endpoint }) => `${from} ${to ?? endpoint}`);
    expect(shown).toEqual(["p0/a p1/b", "p0/a c, lost", "p1/b c, lost"]);
  });

  it("show a source of a program at two addresses once, where it can be steered; others of its name stay", () => {
    const at = (id: string, instance: string, bound?: string): SeenProcess => {
      const { reading, ...rest } = seen(1, id);
      const sides = { frontend: { bound: [bound ?? ""], connected: [] } };
      const details = new Map(bound === undefined ? [] : [["s0".padEnd(500, "x"), { sides, actions: [] }]]);
      return { ...rest, reading: { sources: [], ...reading, instance }, details };
    };
    const shownAt = (...all: SeenProcess[]): number[] =>
      stateOf(all, { time: 1, interval: 2, control: true }).processes.map(({ sources }) => sources.length);
    expect(shownAt(at("p0", "one"), at("p1", "one", "tcp://h:1"), at("p2", "two"))).toEqual([0, 1, 1]);
    // One by two addresses, and another one of the same program and name.
    expect(shownAt(at("p0", "one", "tcp://h:1"), at("p1", "one", "tcp://h:1"))).toEqual([1, 0]);
    expect(shownAt(at("p0", "one", "tcp://h:1"), at("p1", "one", "tcp://h:2"))).toEqual([1, 1]);
    // Metrics alone hide nothing: anyone can repeat the name of a process.
    expect(shownAt(at("p0", "one"), at("p1", "one"))).toEqual([1, 1]);
  });

  it("list the members of a cluster that are in trouble first, and those that are back or left in order once", () => {
    const [a, b, c] = ["a", "b", "c"].map((name) => ({ name, state: "alive" }));
    const lost = ["a", "d", "d"].map((name) => ({ name, state: "lost" }));
    const gone = [...lost, { name: "e", state: "left" }, { name: "f", state: "suspect" }];
    expect(memberTexts([a, b, c, ...gone] as typeof gone)).toEqual(["d, lost", "f, suspect", "a", "b", "c"]);
  });

  it("links join an endpoint that is connected with the one that listens: wildcards, loopback, source addresses, paths", () => {
    const bound = processOf("p0", {
      all: [{ bound: ["tcp://0.0.0.0:1"] }],
      local: [{ bound: ["tcp://127.0.0.1:2"] }],
      file: [{ bound: ["ipc:///tmp/a"] }],
      web: [{ bound: ["ws://[::]:3/feed"] }],
    });
    const ends: [endpoint: string, to?: string][] = [
      ["tcp://10.0.0.1:1", "p0/all"],
      ["tcp://localhost:2", "p0/local"],
      ["ipc:///tmp/a", "p0/file"],
      ["ws://h:3/feed", "p0/web"],
      ["ws://h:3/other"],
      ["tcp://10.0.0.9:0;10.0.0.1:1", "p0/all"],
    ];
    const one = processOf("p1", { one: [{ connected: ends.map(([endpoint]) => endpoint) }] });
    expect(linksOf([bound, one]).map(({ to }) => to)).toEqual(ends.map(([, to]) => to));
  });

  it("lists are filtered and in pages", () => {
    const of = (at: number) => ({ name: `node-${at}`, state: at % 2 ? "lost" : "alive" });
    const items = Array.from({ length: 1_000 }, (_, at) => of(at));
    const page = pageOf(items, { filter: "LOST", offset: 10, limit: 999_999 });
    expect(page).toMatchObject({ total: 500, offset: 10 });
    expect(pageOf(items, { limit: 999_999 }).items).toHaveLength(200);
    expect(pageOf(items, { offset: 998 }).items.map(({ name }) => name)).toEqual(["node-998", "node-999"]);
  });
});

describe("the page", () => {
  it("shortens numbers and times", () => {
    const numbers = [undefined, 0, 0.01, 0.5, 9.96, 12, 999.4, 999.6, 12_340, 1e9];
    expect(numbers.map(short).join(" ")).toBe("– 0 <0.1 0.5 10 12 999 1.00k 12.3k 1.00G");
    expect([500, 119_000, 600_000, 7_200_000].map(since)).toEqual(["1 s", "119 s", "10 min", "2 h"]);
  });

  it("filters by words in name, state, address and endpoints", () => {
    const state = stateWith(
      processOf("p0", { orders: [{ bound: ["tcp://10.0.0.1:5555"] }], audit: [{}] }),
      processOf("p1", { orders: [{}] }),
    );
    const names = (filter: string) => matching(state, filter).map(({ source }) => source.id);
    expect(names("ORDERS")).toEqual(["p0/orders", "p1/orders"]);
    expect(names("orders p1")).toEqual(["p1/orders"]);
    expect(names(":5555")).toEqual(["p0/orders"]);
    expect(names("nothing")).toEqual([]);
  });

  it("has what needs attention first, and totals", () => {
    const away = { id: "p1", address: "tcp://gone", up: false, since: 4_000, reason: "refused", sources: [] };
    const before = processOf("p0", { feed: [{ dropped: 10 }] });
    const dropping = processOf("p0", {
      feed: [{ peers: 2, queued: 3, dropped: 14, rates: { in: 5, dropped: 2 } }],
    });
    const [feed] = dropping.sources;
    const paused = { ...dropping, sources: [{ ...feed, state: "paused" }] } as DashboardProcess;
    const state = stateWith(paused, away);
    const drops = new Drops();
    drops.update(matching(stateWith(before), ""));
    drops.update(matching(state, ""));
    expect(problemsOf(state, 10_000, drops).map(({ text }) => text)).toEqual([
      "tcp://gone does not answer, for 6 s: refused",
      "feed (streamer) dropped 4 messages, 2 /s now",
      "feed (streamer) is paused",
    ]);
    expect(Object.fromEntries(totalsOf(state).map(({ name, value }) => [name, value]))).toMatchObject({
      Addresses: "1 of 2",
      Peers: "≥ 2",
      "In /s": "≥ 5",
      "Out /s": "–",
      "Dropped /s": "≥ 2",
    });
  });

  it("keeps drops as a problem until they are acknowledged, also of a program that was restarted", () => {
    const drops = new Drops();
    const seen = (dropped: number): number => {
      drops.update(matching(stateWith(processOf("p0", { feed: [{ dropped }] })), ""));
      return drops.of("p0/feed");
    };
    expect([seen(10), seen(12), seen(12)]).toEqual([0, 2, 2]);
    drops.acknowledge();
    // Restarted after 13, with 5 of its own.
    expect([seen(12), seen(13), seen(5), seen(6)]).toEqual([0, 1, 6, 7]);
    drops.update([]);
    expect(drops.of("p0/feed")).toBe(7);
  });

  it("has a refused peer as a problem with its reason, and the count among the totals", () => {
    const refusals = { refusals: { "curve-key": 827 }, refusing: { "curve-key": 40 } };
    const state = stateWith(processOf("p0", { secret: [{ peers: 0, refused: 827, ...refusals }] }));
    const text = "secret (streamer) refuses a peer with a wrong CURVE key at its socket, 827 times so far";
    expect(problemsOf(state, 0, new Drops())).toEqual([{ text, mark: "bad" }]);
    expect(totalsOf(state)).toContainEqual({ name: "Refused", value: "827", mark: "bad" });
  });

  it("has no total where nothing is known, and a lower bound where a part is", () => {
    const first = { peers: 1, dropped: 2_000_000, rates: {} };
    const later = { peers: 1, dropped: 7, in: 3, rates: { in: 1, dropped: 4 } };
    const valuesOf = (...sides: Partial<DashboardSide>[]): Record<string, string> =>
      Object.fromEntries(
        totalsOf(stateWith(processOf("p0", { a: sides }))).map(({ name, value }) => [name, value]),
      );
    expect(valuesOf(first)).toMatchObject({ Peers: "1", "Dropped /s": "–", "In /s": "–", Queued: "–" });
    expect(valuesOf(first, later)).toMatchObject({ Peers: "2", "Dropped /s": "≥ 4", "In /s": "1" });
    expect(valuesOf(later, later)).toMatchObject({ "Dropped /s": "8" });
  });

  it("keeps five minutes of the sources that are there", () => {
    const history = new History();
    const sides = [{ rates: { in: 1, out: 2 } }, { side: "backend", queued: 4, rates: { in: 2 } }];
    const shown = matching(stateWith(processOf("p0", { a: sides })), "");
    for (let at = 0; at < 5; at++) history.add(shown, (at * CHART_TIME) / 2);
    expect(history.of("p0/a").map(({ time }) => (2 * time) / CHART_TIME)).toEqual([2, 3, 4]);
    expect(history.of("p0/a")[0]).toMatchObject({ in: 3, out: 2, queued: 4, dropped: undefined });
    history.add([], 0);
    expect(history.of("p0/a")).toEqual([]);
  });

  it("has a row for each source, and its sides below when it is open", () => {
    const sides = [
      { side: "frontend", peers: 1, in: 3 },
      { side: "backend", peers: 2 },
    ];
    const [shown] = matching(stateWith(processOf("p0", { a: sides })), "");
    const whole = rowOf(shown as model.Shown);
    expect(whole).toMatchObject({ key: "p0/a", side: { peers: 3, in: 3 }, isWhole: true });
    expect(withSides(whole, false)).toEqual([whole]);
    expect(withSides(whole, true).map(({ key }) => key)).toEqual(["p0/a", "p0/a frontend", "p0/a backend"]);
  });

  it("puts boxes from who sends to who receives, and counts peers that no link explains", () => {
    const state = stateWith(
      processOf("p0", {
        proxy: [
          { side: "frontend", bound: ["tcp://h:1"], peers: 5 },
          { side: "backend", connected: ["tcp://h:2"], peers: 1 },
        ],
        sink: [{ type: "pull", bound: ["tcp://h:2"], peers: 1 }],
        source: [{ type: "push", connected: ["tcp://h:1", "tcp://elsewhere:9"], peers: 1 }],
      }),
    );
    const { boxes, edges } = layoutOf(matching(state, ""), state.links);
    const at = Object.fromEntries(boxes.map(({ text, x }) => [text, x]));
    expect(at.source).toBeLessThan(at.proxy as number);
    expect(at.proxy).toBeLessThan(at.sink as number);
    expect(at["tcp://elsewhere:9"]).toBe(at.proxy);
    expect(boxes.find(({ text }) => text === "proxy")).toMatchObject({
      left: { peers: 4, at: ["tcp://h:1"] },
      right: { peers: 0 },
    });
    expect(edges).toHaveLength(3);
  });

  it("draws a bounded number of boxes, and ends where links go round", () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`s${at}`, [{}]]));
    const all = stateWith(processOf("p0", many));
    expect(layoutOf(matching(all, ""), all.links)).toMatchObject({ more: 1_000 - MAX_BOXES });
    const round = stateWith(
      processOf("p0", {
        a: [{ bound: ["tcp://h:1"], connected: ["tcp://h:2"] }],
        b: [{ bound: ["tcp://h:2"], connected: ["tcp://h:1"] }],
      }),
    );
    expect(layoutOf(matching(round, ""), round.links).edges).toHaveLength(2);
  });
});
