/** shoal top without a network: reading metrics, rates, numbers, layout. */
import { describe, expect, it } from "vitest";
import { parsePrometheusText, parseStatus } from "../../src/cli/subjects.js";
import { type AddressView, duration, jsonLines, tableLines, type View } from "../../src/cli/top/view.js";
import { refusalTexts } from "../../src/dashboard/page/model.js";
import { FAMILIES, KINDS } from "../../src/metrics/metrics-table.js";
import { expositionOf } from "../../src/metrics/pages.js";
import type { SourceReading, TimedReading } from "../../src/metrics/reading.js";
import { isRead, rate, rated, readingOf } from "../../src/metrics/readings.js";
import { type Sample, samplesOf } from "../../src/metrics/sources.js";
import { QueueProxy } from "../../src/proxy/index.js";
import fc from "../support/properties.js";

const any = { bind: "tcp://127.0.0.1:*" };
const STATS = new QueueProxy({ frontend: any, backend: any }).stats();

describe("Prometheus's text", () => {
  const parse = (text: string) => parsePrometheusText(text, () => true);

  it("is read back as it was written, escapes and all", async () => {
    const name = 'a "b"\\ \n {c="d",} #';
    const samples = samplesOf({ name, kind: "queue", stats: STATS });
    const text = await expositionOf(samples);
    const ours = parsePrometheusText(text, (metric) => /^shoal_(?:proxy|source)/.test(metric));
    expect(ours).toEqual(samples);
  });

  it("may have time stamps, spaces and comments; what is none is left out", () => {
    const read = ["# HELP a_total x", "a_total 1 1700000000000", 'b{x="1" , y="2",} 2.5e3', "f 0x10"];
    const none = ["c NaN", "c +Inf", 'd{x="1} 1', "d{x=1} 1", "9e 1", "e"];
    expect(parse([...none, ...read].join("\n"))).toEqual([
      { name: "a_total", labels: {}, value: 1 },
      { name: "b", labels: { x: "1", y: "2" }, value: 2_500 },
      { name: "f", labels: {}, value: 16 },
    ]);
  });

  it("may be anything at all", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const { value } of parse(`a{x="${text}"} 1\n${text}`)) expect(Number.isFinite(value)).toBe(true);
      }),
    );
    expect(parse(`a{${'x="1",'.repeat(20_000)}y} 1`)).toEqual([]);
    expect(parse(`a{x="${"\\".repeat(100_001)}"} 1`)).toEqual([]);
  });
});

describe("a reading", () => {
  it("puts the sides of a proxy together", () => {
    const samples = samplesOf({
      name: "orders",
      kind: "queue",
      stats: {
        ...STATS,
        state: "running",
        frontend: {
          ...STATS.frontend,
          peers: 3,
          in: { messages: 10, bytes: 100, queued: 1, dropped: { malformed: 2, loop: 1 } },
          out: { messages: 9, queued: 4, dropped: { unroutable: 5 } },
          refused: { address: 2, rate: 1 },
        },
        capture: { captured: 8, missed: 7, queued: 0, peers: 1 },
      },
    });
    const sides = [
      { side: "frontend", peers: 3, in: 10, out: 9, inBytes: 100, queued: 5, dropped: 8, refused: 3 },
      { side: "backend", in: 0 },
      { side: "capture", peers: 1, out: 8, dropped: 7 },
    ];
    expect(readingOf(samples).sources).toMatchObject([
      { name: "orders", kind: "queue", state: "running", sides },
    ]);
  });

  it("is of every family that has metrics", () => {
    for (const kind of KINDS.filter((each) => !["queue", "forwarder", "streamer", "proxy"].includes(each))) {
      const { metrics, label } = FAMILIES[kind as keyof typeof FAMILIES];
      const own = metrics.map(({ name }) => ({ name, labels: { [label]: "x" }, value: 1 }));
      const samples = [...samplesOf({ name: "x", kind, stats: {} }), ...own];
      const [source] = readingOf(samples).sources;
      expect(source, kind).toMatchObject({ name: "x", kind });
      expect(source?.sides[0]?.in ?? source?.sides[0]?.queued ?? source?.sides[0]?.out, kind).toBeDefined();
      expect(samples.every(({ name }) => isRead(name))).toBe(true);
    }
  });

  it("of many sources, with many samples of a metric, looks at each sample a few times", () => {
    let looks = 0;
    const counted = (name: string, labels: Sample["labels"]): Sample => ({
      name,
      value: 1,
      get labels() {
        looks += 1;
        return labels;
      },
    });
    const names = Array.from({ length: 200 }, (_, at) => `s${at}`);
    const samples = names.flatMap((name) => [
      counted("shoal_source_info", { name, kind: "queue" }),
      counted("shoal_source_info", { name: "s0", kind: "queue" }),
      ...["a", "b"].map((reason) =>
        counted("shoal_proxy_dropped_total", { proxy: name, side: "frontend", reason }),
      ),
    ]);
    const { sources } = readingOf(samples);
    expect(sources.map(({ name }) => name)).toEqual(names);
    expect(sources[199]?.sides[0]).toMatchObject({ side: "frontend", dropped: 2 });
    expect(looks).toBeLessThan(20 * samples.length);
  });

  it("counts as dropped what a node lost, not its attempts to connect", () => {
    const stats = { dropped: { "link:failed": 40, "link:lost": 1, "link:full": 2, "send:full": 3 } };
    const [node] = readingOf(samplesOf({ name: "a", kind: "cluster", stats })).sources;
    expect(node?.sides[0]).toMatchObject({ side: "members", dropped: 5 });
    const attempts = { attempts: 9, failed: 9, lost: 1 };
    const [client] = readingOf(samplesOf({ name: "c", kind: "discovery-client", stats: attempts })).sources;
    expect(client?.sides[0]).not.toHaveProperty("dropped");
  });

  it("counts what waits at a server of a clone, in its two places", () => {
    const stats = { inFlight: 3, snapshots: { waiting: 100 }, serving: true };
    const [server] = readingOf(samplesOf({ name: "map", kind: "clone", stats })).sources;
    expect(server?.sides[0]?.queued).toBe(103);
  });

  it("of a control socket is that of the proxy's metrics", () => {
    const status = JSON.stringify({ ok: true, ...STATS, endpoints: {} });
    expect(parseStatus(status)).toEqual(samplesOf({ name: "queue", kind: "queue", stats: STATS }));
    for (const text of ["", "nope", "null", "[]", '{"ok":false}', '{"ok":true}'])
      expect(() => parseStatus(text)).toThrow(/not a proxy/);
  });
});

describe("rates", () => {
  const look = (at: number, count: number, name = "p"): TimedReading => {
    const sides = [{ side: "frontend", in: count, dropped: 0 }];
    const sources = [{ name, kind: "queue", state: "running", sides }];
    return { at, reading: { sources, process: { cpu: count / 1_000 } } };
  };
  const inRate = (before: TimedReading | undefined, now: TimedReading) =>
    rated(before, now).sources[0]?.sides[0]?.rates.in;

  it("are what came since, by the time between", () => {
    expect(inRate(look(1_000, 100), look(3_000, 500))).toBe(200);
    expect(rated(look(1_000, 100), look(3_000, 500)).cpu).toBeCloseTo(0.2);
  });

  it("of a count that began again are of all that it counts", () => {
    expect(inRate(look(0, 1_000_000), look(2_000, 50))).toBe(25);
  });

  it("are unknown at first, without time, and for a newcomer", () => {
    expect(inRate(undefined, look(1_000, 5))).toBeUndefined();
    expect(inRate(look(1_000, 5), look(1_000, 9))).toBeUndefined();
    expect(inRate(look(0, 5, "another"), look(1_000, 9))).toBeUndefined();
    expect(rate(1, undefined, 1)).toBeUndefined();
  });
});

const refused = (at: number, handshakeErrors: object): TimedReading => {
  const backend = { ...STATS.backend, handshakeErrors, refused: { address: 2, rate: 9 } };
  const stats = { ...STATS, backend };
  return { at, reading: readingOf(samplesOf({ name: "secret", kind: "queue", stats })) };
};

it("a refused handshake is counted as refused, and is a line with its reason for a minute", () => {
  const first = refused(0, { "curve-key": 820, mechanism: 1 });
  expect(first.reading.sources[0]?.sides[1]).toMatchObject({
    refused: 832,
    refusals: { address: 2, "curve-key": 820, mechanism: 1 },
  });
  const next = refused(2_000, { "curve-key": 827, mechanism: 1 });
  const shown = rated(first, next);
  const [line] = refusalTexts(shown.sources[0] as SourceReading);
  expect(line).toBe("secret (queue) refuses a peer with a wrong CURVE key at its backend, 827 times so far");
  const a = { address: "tcp://a:1", up: true, reading: shown, details: new Map() } as AddressView;
  const view: View = { time: 0, interval: 2, addresses: [a] };
  expect(tableLines(view, 200, false)).toContain(`! ${line}`);
  const again = (at: number) =>
    rated({ ...next, reading: { ...next.reading, sources: shown.sources } }, { ...next, at }).sources[0]
      ?.sides[1]?.refusing;
  expect(again(50_000)).toEqual({ "curve-key": 48_000 });
  expect(again(70_000)).toBeUndefined();
});

it("times have units", () => {
  expect([duration(0.0004), duration(0.012), duration(1.5)]).toEqual(["0.4 ms", "12 ms", "1.5 s"]);
});

describe("what is shown", () => {
  const samples = samplesOf({ name: "orders-of-the-whole-world", kind: "queue", stats: STATS });
  const idle = rated({ at: 0, reading: readingOf(samples) }, { at: 2_000, reading: readingOf(samples) });
  const up: AddressView = { address: "http://127.0.0.1:9464", up: true, latency: 3, reading: idle };
  const away: AddressView = { address: "tcp://10.0.0.1:5", up: false, since: 0, reason: "refused\u001b[31m" };
  const view: View = { time: 0, interval: 2, addresses: [up, away] };

  it.each([200, 120, 80, 40])("fits into %d columns", (width) => {
    const lines = tableLines(view, width, false);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    expect(lines.join("\n")).not.toContain("\u001b");
    expect(lines.filter((line) => /^ord/.test(line))).toHaveLength(2);
    expect(lines.filter((line) => /^tcp/.test(line))).toHaveLength(1);
  });

  it("has names and rates first, and a line for each side", () => {
    const [, head, , frontend] = tableLines(view, 200, false).map((line) => line.split(/ +/));
    expect(head).toEqual(
      "NAME SIDE STATE IN/s OUT/s QUEUED DROP/s PEERS DROPPED REFUSED IN B/s OUT B/s KIND".split(" "),
    );
    expect(frontend?.slice(0, 4)).toEqual(["orders-of-the-whole-world", "frontend", "idle", "0"]);
  });

  it("says what is away, since when and why, with colours only where they are wanted", () => {
    expect(tableLines(view, 120, false).at(-1)).toMatch(
      /^tcp:\/\/10.0.0.1:5 {2}away since [\d:]{8}: refused\\u\{1b\}\[31m$/,
    );
    expect(tableLines(view, 120, true).at(-1)?.startsWith("\u001b[31mtcp")).toBe(true);
    expect(tableLines(view, 120, false)[0]).toMatch(/1 of 2 addresses answer, every 2 s$/);
  });

  it("what drops is red, what is paused yellow", () => {
    const of = (state: string, dropped: number): string => {
      const sides = [{ side: "all", rates: { dropped } }];
      const reading = { sources: [{ name: "cod", kind: "queue", state, sides }] };
      const lines = tableLines({ ...view, addresses: [{ ...up, reading } as AddressView] }, 140, true);
      return (lines.at(-1) as string).slice(0, 5);
    };
    const shown = [of("running", 1), of("paused", 0), of("running", 0)];
    expect(shown).toEqual(["\u001b[31m", "\u001b[33m", "cod  "]);
  });

  it("numbers of JSON have three digits after the point", () => {
    const [line = ""] = jsonLines({ ...view, addresses: [{ ...up, latency: 1.23456 } as AddressView] });
    expect(JSON.parse(line).latency).toBe(1.235);
  });
});
