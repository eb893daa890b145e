import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { caseTitle, figure, metricText, ratio, spread } from "../../bench/report/format.js";
import { htmlReport } from "../../bench/report/html.js";
import { BEGIN, END, replaceBetween, resultsMarkdown } from "../../bench/report/markdown.js";
import { measuredOf, measuredOfPage, picturesOf } from "../../bench/report/pictures.js";
import { type BenchRecord, keyOf, readRecords } from "../../bench/report/records.js";
import { summarize } from "../../bench/report/summary.js";
import { scenarioText } from "../../bench/report/table.js";
import { SCENARIOS } from "../../bench/scenarios/index.js";

const throughput = SCENARIOS.find(({ name }) => name === "throughput");
if (throughput === undefined) throw new Error("no throughput");

/** Four sizes and three rounds of two contenders; the one has twice the other's figure in each round. */
const records: BenchRecord[] = [
  {
    type: "machine",
    started: "2026-01-01T00:00:00.000Z",
    cpu: "A <fast> one",
    cores: 2,
    memoryBytes: 2 ** 33,
    system: "Linux 6 x64",
    node: "v20.0.0",
    shoal: "0.1.0",
    commit: "abc",
    pinned: [0, 1],
    smoke: false,
  },
  { type: "contender", contender: "shoal-libzmq", title: "shoal (libzmq)", version: "0.1.0" },
  { type: "contender", contender: "zeromq", title: "npm zeromq", version: "6" },
  { type: "absent", contender: "nats", reason: "no nats-server: install it" },
  ...[1, 16, 64, 4096].flatMap((size) =>
    [1, 3, 2].flatMap((load, round) =>
      ["shoal-libzmq", "zeromq"].map((contender, i): BenchRecord => {
        const messagesPerSecond = (2 - i) * (1e6 / load / size);
        return {
          type: "run",
          scenario: "throughput",
          transport: "tcp",
          size,
          parameters: {},
          contender,
          round,
          count: 1_000,
          figures: { messagesPerSecond, megabytesPerSecond: (messagesPerSecond * size) / 1e6 },
          sides: [
            {
              role: "consumer",
              index: 0,
              messages: 1_000,
              seconds: 1,
              cpuSeconds: 0.01,
              peakRss: 50e6,
              gcSeconds: 0.1,
            },
            {
              role: "producer",
              index: 0,
              messages: 7,
              seconds: 1,
              cpuSeconds: 0.02,
              peakRss: 60e6,
              gcSeconds: null,
            },
          ],
        };
      }),
    ),
  ),
  {
    type: "failed",
    scenario: "throughput",
    transport: "tcp",
    size: 1,
    parameters: {},
    contender: "pyzmq",
    reason: "consumer hung",
    output: ["<its> last words"],
  },
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
    expect(summarize(records, throughput, "redis")[0]?.rows.map((row) => row.ratio)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it("as a table names cases, figures and failures", () => {
    const text = scenarioText(records, throughput);
    expect(text).toMatch(/shoal \(libzmq\) .* 1 M .* 2 × \(2 – 2\) .* 30\.0 .* 60 .* 10\.0 % .* 3 /);
    expect(text).toContain("tcp, 4 KiB");
    expect(text).toContain("Failed: pyzmq: consumer hung\n    | <its> last words");
  });
});

describe("figures", () => {
  it("have three digits", () => {
    expect([0.01234, 0.5, 9.876, 98.76, 987.6, 9_876, 98_760, 9_876_000, Number.NaN].map(figure)).toEqual([
      "0.012",
      "0.50",
      "9.88",
      "98.8",
      "988",
      "9876",
      "98.8 k",
      "9.88 M",
      "–",
    ]);
    expect(ratio({ value: 0.971, low: 0.95, high: 1.002 }, 3)).toBe("0.97 × (0.95 – 1.00)");
    expect(ratio({ value: 0.971, low: 0.971, high: 0.971 }, 2)).toBe("");
    expect(metricText({ name: "p99", unit: "µs" })).toBe("99th percentile, µs");
    expect(metricText({ name: "messagesPerSecond", unit: "msg/s" })).toBe("msg/s");
    expect(spread({ value: 100, low: 97, high: 103 }, 2)).toBe("± 3.0 %");
    expect(caseTitle({ scenario: "x", transport: "ipc", size: 65_536, parameters: { peers: 3 } })).toBe(
      "ipc, 64 KiB, peers=3",
    );
  });
});

describe("the HTML report", () => {
  it("is one file with charts in it, that runs nothing and loads nothing", async () => {
    const html = htmlReport(records);
    expect(html).toContain("shoal (libzmq), tcp: grows with the work: n^1.00");
    expect(html).not.toContain("npm zeromq, tcp: grows");
    expect(html.match(/<svg/g)?.length).toBeGreaterThanOrEqual(1);
    expect(html).not.toMatch(/<script|<link|<img|src=|@import|url\((?!#)/);
    const addresses = html.match(/https?:\/\/[^"\s<]*/g) ?? [];
    expect(addresses.filter((address) => !address.startsWith("http://www.w3.org/"))).toEqual([]);
    expect(html).toContain("A &lt;fast&gt; one");
    expect(html).toContain("&lt;its&gt; last words");
    expect(html).toContain("npm zeromq");
  });

  it("says nothing of growth where a second parameter varies", () => {
    const varied = records.map((record) =>
      record.type === "run" && record.size === 16 ? { ...record, parameters: { load: 2 } } : record,
    );
    expect(htmlReport(varied)).not.toContain("grows with");
  });
});

describe("the page's tables", () => {
  it("take the place of what is between the markers, and nothing else", () => {
    const page = `before\n${BEGIN}\nold\n${END}\nafter\n`;
    expect(replaceBetween(page, "new\n", "page")).toBe(`before\n${BEGIN}\n\nnew\n\n${END}\nafter\n`);
    expect(replaceBetween(replaceBetween(page, "new\n", "page"), "new\n", "page")).toBe(
      replaceBetween(page, "new\n", "page"),
    );
    expect(() => replaceBetween("no markers", "new", "page.md")).toThrow("page.md must have the lines");
  });

  it("have a row for each case and ratios to each other contender", () => {
    const text = resultsMarkdown(records);
    expect(text).toContain("| case | shoal (libzmq) | npm zeromq |");
    expect(text).toMatch(/\| tcp, 64 B \| 15\.6 k ± .* \| 7813 ± .* \|/);
    expect(text).toContain("| tcp, 64 B | shoal (libzmq) | 2.0 × |");
    expect(text).not.toContain("<picture>");
    expect(resultsMarkdown(records, "images")).toContain('srcset="images/throughput-dark.svg"');
    expect(text).toContain("- Absent: nats, no nats-server: install it");
    expect(text).toContain("Failed: tcp, 1 B, pyzmq: consumer hung");
    expect(text).not.toContain("grows with");
  });

  it("have no row and no column that would be without a ratio, and compare shoal with plain sockets", () => {
    const renamed = (from: string, contender: string, rounds: number): BenchRecord[] =>
      records.flatMap((record) =>
        record.type === "run" && record.contender === from && record.round < rounds
          ? [{ ...record, contender }]
          : [],
      );
    const text = resultsMarkdown([
      ...records,
      ...renamed("zeromq", "redis", 1),
      ...renamed("zeromq", "shoal-zmtp-plain", 3),
      ...renamed("zeromq", "shoal-zmtp", 1),
    ]);
    expect(text).toContain("| case | implementation | npm zeromq | shoal-zmtp-plain |");
    expect(text).toContain("| tcp, 64 B | shoal (libzmq) | 2.0 × | 2.0 × |");
    expect(text).not.toMatch(/\| shoal-zmtp(?:-plain)? \| [–\d]/);
  });
});

describe("the charts as files", () => {
  const files = picturesOf(measuredOf(records));

  it("are an overview and one of each scenario, in light and dark, that load nothing", () => {
    expect([...files.keys()]).toEqual([
      "overview.svg",
      "overview-dark.svg",
      "throughput.svg",
      "throughput-dark.svg",
    ]);
    for (const text of files.values()) {
      expect(text).toMatch(
        /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="[\d ]+" [^>]*role="img"[^>]*><title>[^<]+</,
      );
      expect(text.slice(text.indexOf(">"))).not.toMatch(/href|url\(|https?:|NaN|undefined/);
    }
    expect(files.get("overview.svg")).not.toBe(files.get("overview-dark.svg"));
  });

  it("say in words what they show, and where it was measured", () => {
    const overview = files.get("overview.svg") ?? "";
    expect(overview).toContain(
      "<title>One way, 64 bytes (msg/s, more is better): shoal (libzmq) 15.6 k, npm zeromq 7813.</title>",
    );
    expect(overview).toContain("2026-01-01: A &lt;fast&gt; one, 2 cores");
  });

  it("have bars in proportion", () => {
    const widths = [
      ...(files.get("overview.svg") ?? "").matchAll(/<rect [^>]*width="([\d.]+)" height="16"/g),
    ];
    const [longer, shorter] = widths.map(([, width]) => Number(width));
    expect((longer as number) / (shorter as number)).toBeCloseTo(2, 1);
  });

  it("name a machine once, with when it was first and last at work", () => {
    const machine = records.find((record) => record.type === "machine") as BenchRecord & { type: "machine" };
    const later = { ...machine, started: "2026-01-02T03:04:05.000Z" };
    const { machines } = measuredOf([later, ...records, { ...later, commit: "another" }]);
    expect(machines).toHaveLength(2);
    expect(machines[0]).toMatch(new RegExp(`^${machine.started}/2026-01-02T03:04:05.000Z: `));
    expect(machines[1]).toMatch(/^2026-01-02T03:04:05.000Z: .*commit another/);
  });

  it("are the same of the page that has the tables, but for rounding", () => {
    const page = measuredOfPage(`# Page\n\n${resultsMarkdown(records)}\nmore\n`, "page.md");
    const direct = measuredOf(records);
    expect(page.machines).toEqual(direct.machines);
    const titles = (measured: typeof page) =>
      [...measured.scenarios].map(([name, cases]) => [
        name,
        cases.map(({ title, marks }) => [title, marks.map(({ contender }) => contender)]),
      ]);
    expect(titles(page)).toEqual(titles(direct));
    for (const [name, cases] of direct.scenarios)
      for (const [at, { marks }] of cases.entries())
        for (const [index, { value }] of marks.entries())
          expect((page.scenarios.get(name)?.[at]?.marks[index]?.value ?? 0) / value).toBeCloseTo(1, 2);
    expect(() => measuredOfPage("# Nothing", "page.md")).toThrow("page.md has no tables");
  });

  it("of the project's page are those in docs/images", async () => {
    const page = await readFile(join(import.meta.dirname, "../../bench/results.md"), "utf8");
    for (const [name, text] of picturesOf(measuredOfPage(page, "bench/results.md")))
      expect(await readFile(join(import.meta.dirname, "../../docs/images", name), "utf8"), name).toBe(text);
  });
});

describe("files of results", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "shoal-test-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

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
