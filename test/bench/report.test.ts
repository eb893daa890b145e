import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TABLE } from "../../bench/page.js";
import { caseTitle, figure, metricText, spread, wordsOf } from "../../bench/report/format.js";
import { htmlReport } from "../../bench/report/html.js";
import { machineLines } from "../../bench/report/machine.js";
import { BEGIN, END, replaceBetween, resultsMarkdown } from "../../bench/report/markdown.js";
import { type BenchRecord, keyOf, readRecords } from "../../bench/report/records.js";
import { type CaseSummary, headlineOf, summarize } from "../../bench/report/summary.js";
import { cellsOf, scenarioText } from "../../bench/report/table.js";
import { SCENARIOS } from "../../bench/scenarios/index.js";
import { sharedFolder } from "../support/folders.js";

const throughput = SCENARIOS.find(({ name }) => name === "throughput");
if (throughput === undefined) throw new Error("no throughput");

const consumer = { role: "consumer", index: 0, messages: 1_000, seconds: 1 };
const producer = { role: "producer", index: 0, messages: 7, seconds: 1 };
const TCP = { scenario: "throughput", transport: "tcp", parameters: {} } as const;

/** Four sizes and three rounds of two contenders; the one has twice the other's figure in each round. */
const records: BenchRecord[] = [
  {
    ...{ type: "machine", started: "2026-01-01T00:00:00.000Z", cpu: "A <fast> one", cores: 2 },
    ...{ memoryBytes: 2 ** 33, system: "Linux 6 x64", node: "v20.0.0", shoal: "0.1.0" },
    ...{ commit: "abc", pinned: [0, 1], smoke: false },
  },
  { type: "contender", contender: "shoal-libzmq", title: "shoal (libzmq)", version: "0.1.0" },
  { type: "contender", contender: "zeromq", title: "npm zeromq", version: "6" },
  { type: "absent", contender: "nats", reason: "no nats-server: install it" },
  ...[1, 16, 64, 4096].flatMap((size) =>
    [1, 3, 2].flatMap((load, round) =>
      ["shoal-libzmq", "zeromq"].map((contender, i): BenchRecord => {
        const messagesPerSecond = (2 - i) * (1e6 / load / size);
        return {
          ...{ type: "run", ...TCP, size, contender, round, count: 1_000 },
          at: `2026-01-01T0${round}:10:00.000Z`,
          figures: { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 },
          sides: [
            { ...consumer, cpuSeconds: 0.01, peakRss: 50e6, gcSeconds: 0.1 },
            { ...producer, cpuSeconds: 0.02, peakRss: 60e6, gcSeconds: null },
          ],
        };
      }),
    ),
  ),
  { type: "failed", ...TCP, size: 1, contender: "nats", reason: "consumer hung", output: ["<last> words"] },
];

describe("the summary", () => {
  it("has medians, ratios round by round, and costs", () => {
    const [first] = summarize(records, throughput);
    const [shoal, zeromq] = first?.rows ?? [];
    expect(first?.reference).toBe("zeromq");
    expect(shoal?.metric.value).toBe(1e6);
    expect(shoal?.ratio).toEqual({ value: 2, low: 2, high: 2 });
    expect(zeromq?.ratio).toBeUndefined();
    expect(shoal?.cpuMicroseconds).toBeCloseTo(30);
    expect(shoal?.peakRss).toBe(60e6);
    expect(shoal?.gcShare).toBeCloseTo(0.1);
  });

  it("compares with the contender that was chosen, and with none if that one is not there", () => {
    expect(summarize(records, throughput, "shoal-libzmq")[0]?.rows[1]?.ratio?.value).toBe(0.5);
    const [none] = summarize(records, throughput, "redis");
    expect(none?.rows.map((row) => row.ratio)).toEqual([undefined, undefined]);
  });

  it("as a table names cases, figures and failures", () => {
    const text = scenarioText(records, throughput);
    expect(text).toMatch(/shoal \(libzmq\) .* 1 M .* 2 × \(2 – 2\) .* 30\.0 .* 60 .* 10\.0 % .* 3 /);
    expect(text).toContain("tcp, 4 KiB");
    expect(text).toContain("Failed: nats: consumer hung\n    | <last> words");
  });
});

describe("a ratio", () => {
  it("is filled, or says why it is not", () => {
    const ratiosOf = (some: readonly BenchRecord[]) =>
      cellsOf(summarize(some, throughput)[0] as CaseSummary, throughput).rows.map((row) => row[3]);
    expect(ratiosOf(records)).toEqual(["2 × (2 – 2)", "1"]);
    const two = records.filter((record) => record.type !== "run" || record.round < 2);
    expect(ratiosOf(two)).toEqual(["needs 3 runs", "1"]);
    const alone = records.filter((record) => record.type !== "run" || record.contender !== "zeromq");
    const renamed = alone.map((each) => (each.type === "run" ? { ...each, contender: "nats" } : each));
    expect(ratiosOf(renamed)).toEqual(["no reference"]);
  });

  it("of 1 KiB is the headline, or that of the first case", () => {
    const cases = summarize(records, throughput);
    expect(headlineOf(cases, throughput)).toBe("shoal is 2 × npm zeromq at 1 B");
    const resized = cases.map((one, at) => ({ ...one, key: { ...one.key, size: at === 2 ? 1_024 : 1 } }));
    expect(headlineOf(resized, throughput)).toBe("shoal is 2 × npm zeromq at 1 KiB");
  });
});

it("figures have three digits", () => {
  const numbers = [0.01234, 0.5, 9.876, 98.76, 987.6, 9_876, 98_760, 9_876_000, Number.NaN];
  expect(numbers.map(figure).join()).toBe("0.012,0.50,9.88,98.8,988,9876,98.8 k,9.88 M,–");
  expect(wordsOf({ name: "p99", unit: "µs" })).toBe("99th percentile in microseconds");
  expect(metricText({ name: "p99", unit: "µs" })).toBe("99th percentile, µs");
  expect(metricText({ name: "messagesPerSecond", unit: "msg/s" })).toBe("msg/s");
  expect(spread({ value: 100, low: 97, high: 103 }, 2)).toBe("± 3.0 %");
  const title = caseTitle({ transport: "ipc", size: 65_536, parameters: { peers: 3 } });
  expect(title).toBe("ipc, 64 KiB, peers=3");
});

describe("the HTML report", () => {
  it("is one file with a headline and charts, that runs nothing and loads nothing", () => {
    const html = htmlReport(records);
    expect(html).toContain("<h1>shoal is 2 × npm zeromq at 1 B on this machine</h1>");
    expect(html.match(/<svg/g)).toHaveLength(1);
    expect(html).not.toMatch(/<script|<link|<img|src=|@import|url\((?!#)/);
    const addresses = html.match(/https?:\/\/[^"\s<]*/g) ?? [];
    expect(addresses.filter((address) => !address.startsWith("http://www.w3.org/"))).toEqual([]);
    expect(html).toContain("A &lt;fast&gt; one");
    expect(html).toContain("&lt;last&gt; words");
    expect(html).toContain("npm zeromq");
  });

  it("has no headline where nothing was compared", () => {
    const alone = records.filter((record) => !("contender" in record) || record.contender !== "zeromq");
    expect(htmlReport(alone)).toContain("<h1>shoal bench</h1>");
  });
});

describe("the page's tables", () => {
  it("take the place of what is between the markers, and nothing else", () => {
    const page = `before\n${BEGIN}\nold\n${END}\nafter\n`;
    const once = replaceBetween(page, "new\n", "page");
    expect(once).toBe(`before\n${BEGIN}\n\nnew\n\n${END}\nafter\n`);
    expect(replaceBetween(once, "new\n", "page")).toBe(once);
    expect(() => replaceBetween("no markers", "new", "page.md")).toThrow("page.md must have the lines");
  });

  it("have ten rows, what failed, and the cases in which shoal is slower", () => {
    const text = resultsMarkdown(records);
    expect(text).toContain("|  | shoal | shoal, batch | libzmq in C | `zeromq` | NATS |");
    expect(text).toContain("| one way, 64 B, msg/s |  |  |  | 7813 |  |");
    expect(text.match(/^\| .* \| {2}\| {2}\| {2}\| .* \| {2}\|$/gm)).toHaveLength(TABLE.length);
    expect(text).toContain("- **Machine:** 2026-01-01 00:00 UTC: A <fast> one, 2 cores");
    expect(text).toContain("- **Runs:** 3 of each case.");
    expect(text).toContain("- Absent: nats, no nats-server: install it");
    expect(text).toContain("- Failed: throughput, tcp, 1 B, nats: consumer hung");
    expect(text).not.toContain("| shoal (libzmq) | npm zeromq |");
    const faster = records.map((record) =>
      record.type === "run" && record.contender === "zeromq"
        ? { ...record, figures: { messagesPerSecond: 9 * (record.figures.messagesPerSecond as number) } }
        : record,
    );
    expect(resultsMarkdown(faster)).toContain(
      "| throughput, tcp, 64 B, msg/s | shoal (libzmq) | npm zeromq | 15.6 k | 70.3 k | 0.22 |",
    );
  });

  it("have the ratio of the speeds where less is better", () => {
    const latencies = records.map((record) =>
      record.type === "run"
        ? { ...record, scenario: "latency", figures: { median: record.figures.messagesPerSecond as number } }
        : record,
    );
    expect(resultsMarkdown(latencies)).toContain(
      "| latency, tcp, 64 B, µs | shoal (libzmq) | npm zeromq | 15.6 k | 7813 | 0.50 |",
    );
  });
});

it("each figure names its machine and the hour of its runs", () => {
  const machine = records.find((record) => record.type === "machine") as BenchRecord & { type: "machine" };
  const later = { ...machine, cpu: "Another", started: "2026-01-02T03:04:05.000Z" };
  const runs = records.filter((record) => record.type === "run");
  const [first] = summarize([...records, later, ...runs.slice(0, 2)], throughput);
  expect(first?.where).toEqual([
    "A <fast> one, 2 cores, 2026-01-01 00:10–02:10 UTC",
    "Another, 2 cores, 2026-01-01 00:10 UTC",
  ]);
  expect(scenarioText(records, throughput)).toContain(
    "tcp, 4 KiB; A <fast> one, 2 cores, 2026-01-01 00:10–02:10 UTC",
  );
  const lines = machineLines([{ ...machine, started: "2026-01-02T03:04:05.000Z" }, ...records, later]);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/^2026-01-01 00:00 UTC and 2026-01-02 03:04 UTC: A <fast> one/);
});

describe("files of results", () => {
  const folder = sharedFolder();

  it("are read as they were written, several as one", async () => {
    const file = join(folder, "good.jsonl");
    await writeFile(file, `${records.map((record) => JSON.stringify(record)).join("\n")}\n`);
    expect(await readRecords(file)).toEqual(records);
    expect(await readRecords(file, file)).toHaveLength(2 * records.length);
  });

  it("have rounds that go on from file to file, so that those of one file are compared with each other", async () => {
    const file = join(folder, "twice.jsonl");
    await writeFile(file, records.map((record) => JSON.stringify(record)).join("\n"));
    const roundsOf = (all: readonly BenchRecord[]) =>
      all.flatMap((record) =>
        record.type === "run" ? [`${keyOf(record)} ${record.contender} ${record.round}`] : [],
      );
    const once = roundsOf(records);
    const twice = roundsOf(await readRecords(file, file));
    expect(new Set(twice).size).toBe(2 * new Set(once).size);
    expect(twice.slice(0, once.length)).toEqual(once);
  });

  it("are refused when they are none", async () => {
    const contents: readonly (readonly [text: string, reason: string])[] = [
      ["", "has no results"],
      ["{", "line 1: no JSON"],
      ["3\n", "line 1: not a line of a report"],
      ['{"type":"run"}\n', "line 1: the run has no figures"],
    ];
    for (const [text, reason] of contents) {
      const file = join(folder, "bad.jsonl");
      await writeFile(file, text);
      await expect(readRecords(file)).rejects.toThrow(reason);
    }
    await expect(readRecords(join(folder, "missing"))).rejects.toThrow("cannot read");
  });
});
