/** The table of metrics, samples of statistics, addresses and readiness: pure. */
import { describe, expect, it } from "vitest";
import { EventStream } from "../../src/core/event-stream.js";
import { parseListenAddress } from "../../src/core/http-server.js";
import * as table from "../../src/metrics/metrics-table.js";
import { samplesOf, unreadiness } from "../../src/metrics/sources.js";
import * as patterns from "../../src/patterns/index.js";
import { StreamerProxy } from "../../src/proxy/index.js";
import fc from "../support/properties.js";

const { BUILD, FAMILIES, familyOf, INFO, KINDS, kindOfDriver, labelsOf, UP } = table;
const families = Object.keys(FAMILIES) as table.MetricsFamily[];
const all = families.flatMap((family) => FAMILIES[family].metrics.map((metric) => ({ family, metric })));

describe("the table of metrics", () => {
  it("has names and labels as Prometheus wants them, each once", () => {
    for (const { family, metric } of all) {
      expect(metric.name).toMatch(new RegExp(`^shoal_${family.replaceAll("-", "_")}_[a-z_]+$`));
      expect(metric.name.endsWith("_total"), metric.name).toBe(metric.type === "counter");
      expect(metric.help).toMatch(/\.$/);
      for (const label of labelsOf(family, metric)) expect(label).toMatch(/^[a-z]+$/);
    }
    const names = [...all.map(({ metric }) => metric.name), INFO.name, UP.name, BUILD.name];
    expect(new Set(names).size).toBe(names.length);
  });

  it("has a family for each driver, and one of each family's label", () => {
    const drivers = Object.entries(patterns)
      .filter(([, value]) => typeof value === "function" && value.prototype instanceof patterns.Driver)
      .map(([name]) => name);
    expect(drivers.length).toBeGreaterThan(20);
    expect(drivers.filter((name) => kindOfDriver(name) === undefined)).toEqual([]);
    expect(KINDS.filter((kind) => !families.includes(familyOf(kind)))).toEqual([]);
    for (const family of families)
      for (const metric of FAMILIES[family].metrics)
        expect(new Set(labelsOf(family, metric)).size).toBe(labelsOf(family, metric).length);
  });

  it("finds everything that a proxy counts, and nothing twice", () => {
    const any = { bind: "tcp://127.0.0.1:*" };
    const stats = new StreamerProxy({ frontend: any, backend: any }).stats();
    const samples = samplesOf({ name: "work", kind: "streamer", stats });
    const value = (name: string, labels: object) =>
      samples.filter(
        (sample) => sample.name === name && Object.entries(labels).every(([k, v]) => sample.labels[k] === v),
      );
    expect(value("shoal_proxy_messages_total", { proxy: "work" })).toHaveLength(4);
    expect(
      value("shoal_proxy_dropped_total", { side: "backend", direction: "out" }).map((s) => s.labels.reason),
    ).toEqual(Object.keys(stats.backend.out.dropped));
    expect(value("shoal_proxy_state", { state: "idle" })).toMatchObject([{ value: 1 }]);
    expect(value("shoal_proxy_state", { state: "running" })).toMatchObject([{ value: 0 }]);
    expect(value(INFO.name, {})).toEqual([
      { name: INFO.name, labels: { name: "work", kind: "streamer" }, value: 1 },
    ]);
    const keys = samples.map(({ name, labels }) => JSON.stringify([name, labels]));
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("has a sample of each capture, control and refusal that there is", () => {
    const stats = {
      frontend: { peers: undefined, refused: { address: 3, rate: 1 }, handshakeErrors: { mechanism: 2 } },
      capture: { captured: 5, missed: 2, queued: 1, peers: 1 },
      control: { commands: 7, refused: 1 },
    };
    const samples = samplesOf({ name: "p", kind: "queue", stats });
    const of = (name: string) => samples.filter((sample) => sample.name === name).map(({ value }) => value);
    expect(of("shoal_proxy_refused_total")).toEqual([3, 1]);
    expect(of("shoal_proxy_handshake_errors_total")).toEqual([2]);
    expect(of("shoal_proxy_captured_total")).toEqual([5]);
    expect(of("shoal_proxy_capture_missed_total")).toEqual([2]);
    expect(of("shoal_proxy_control_commands_total")).toEqual([7]);
    expect(of("shoal_proxy_peers")).toEqual([]); // Not known: no sample, and not 0.
  });
});

describe("samples of what a stranger sent", () => {
  it("are numbers, whatever it is", () => {
    fc.assert(
      fc.property(fc.constantFrom(...KINDS), fc.jsonValue(), fc.jsonValue(), (kind, side, rest) => {
        const sides = { frontend: side, capture: side, dropped: side, store: side, sites: side };
        const stats = { ...sides, state: rest, requests: rest, refused: rest, snapshots: rest };
        for (const { value, labels } of samplesOf({ name: "x", kind, stats })) {
          expect(Number.isFinite(value)).toBe(true);
          for (const label of Object.values(labels)) expect(typeof label).toBe("string");
        }
      }),
    );
  });

  it("have a bound on reasons, and no count below zero", () => {
    const dropped = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`r${i}`, 1]));
    const stats = { frontend: { in: { dropped, messages: -1 } } };
    const samples = samplesOf({ name: "x", kind: "queue", stats });
    expect(samples.filter(({ name }) => name === "shoal_proxy_dropped_total")).toHaveLength(64);
    expect(samples.filter(({ name }) => name === "shoal_proxy_messages_total")).toHaveLength(0);
  });

  it("are not what an object inherits", () => {
    const samples = samplesOf({ name: "x", kind: "pirate", stats: new EventStream() });
    expect(samples.map(({ name }) => name)).toEqual([INFO.name, UP.name]);
  });
});

describe("an address for metrics", () => {
  it.each([
    ["127.0.0.1:9464", { host: "127.0.0.1", port: 9464 }],
    ["[::1]:9464", { host: "::1", port: 9464 }],
    ["localhost:0", { host: "localhost", port: 0 }],
    ["*:9464", { host: undefined, port: 9464 }],
    [":9464", { host: undefined, port: 9464 }],
    ["127.0.0.1:*", { host: "127.0.0.1", port: 0 }],
  ])("%s", (text, address) => {
    expect(parseListenAddress("Metrics", text)).toEqual(address);
  });

  const NONE = ["", "9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "::1:9464", "a b:1"];
  it.each([...NONE, "http://127.0.0.1:9464"])("%j is none", (text) => {
    expect(() => parseListenAddress("Metrics", text)).toThrow(/expected HOST:PORT/);
  });
});

it("readiness is that everything runs, or is paused on purpose", () => {
  expect(["running", "paused"].map((state) => unreadiness({ state }))).toEqual([undefined, undefined]);
  for (const state of ["idle", "starting", "draining", "stopping", "stopped"])
    expect(unreadiness({ state })).toBe(state);
  expect(unreadiness({ requests: 1 })).toBeUndefined();
});
