/** `shoal bench` as a user has it: the built binary, with real sockets. */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { fails } from "../cli/in-process.js";
import { Child, jsonOf, MAIN, ROOT, useShoal } from "../cli/support.js";
import { until } from "../contract/support/wait.js";
import { sharedFolder } from "../support/folders.js";

useShoal();

/** Processes with this marker in their environment; Linux has no event for the end of a stranger's process. */
function marked(marker: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, "latin1").includes(marker);
    } catch {
      return false;
    }
  });
}

const folder = sharedFolder();

function start(...args: readonly string[]): { readonly child: Child; readonly marker: string } {
  const marker = randomUUID();
  // Who is killed clears nothing up: its folders are in ours.
  const env = { SHOAL_BENCH_TEST: marker, TMPDIR: folder };
  return { child: new Child(process.execPath, [MAIN, "bench", ...args], { stdin: "ignore", env }), marker };
}

const bench = (...args: readonly string[]) => start(...args).child.outcome;

const CASES: readonly (readonly [args: readonly string[], reason: RegExp])[] = [
  [["nothing"], /unknown scenario "nothing"; known are throughput, latency, /],
  [["throughput", "--peers", "zmq"], /unknown implementation "zmq"; known are shoal-zmtp, .*zeromq/],
  [["throughput", "--reference", "zmq"], /unknown implementation "zmq"/],
  [["throughput", "--engine", "turbo"], /unknown engine "turbo"; known are zmtp, libzmq/],
  [["throughput", "--engine", "libzmq,turbo"], /unknown engine "turbo"/],
  [["throughput", "--transport", "udp"], /unknown transport "udp"; known are tcp, ipc, inproc, ws, tls/],
  [["throughput", "--size", "64,big"], /unknown size "big"; .* usual ones are 1, 16, 64, 1024/],
  [["throughput", "--size", "0"], /unknown size "0"/],
  [["throughput", "--size", "1e12"], /unknown size "1e12"/],
  [["throughput", "--size", "1.5"], /unknown size "1.5"/],
  [["throughput", "--set", "colour=red"], /unknown parameter "colour"; known are none here/],
  [["throughput", "--runs", "0"], /--runs must be a whole number above 0; got "0"/],
  [["throughput", "--time", "soon"], /--time must be a number above 0; got "soon"/],
  [["throughput", "--bind", "tcp://127.0.0.1:1"], /--bind requires --role/],
  [["throughput", "--role", "king"], /throughput has no role "king"; known are consumer, producer/],
  [["throughput", "--role", "consumer"], /consumer of throughput needs --bind ENDPOINT instead of --connect/],
  [["throughput", "--json", "/nonexistent/file"], /cannot write \/nonexistent\/file/],
  [["compare", "one"], /compare needs two files written by --json, or two folders/],
  [["compare", "/nonexistent/a", "/nonexistent/b"], /cannot read \/nonexistent\/a/],
  [["compare", ".", "/"], /\/ is no folder of a built shoal/],
  [["report"], /report needs files/],
];

it.each(CASES)("shoal bench %s ends with exit code 2 and what there is", async (args, reason) =>
  void (await fails(2, reason, ["bench", ...args])));

describe("shoal bench", () => {
  it("lists scenarios and contenders", async () => {
    const { code, stdout } = await bench("list");
    expect(code).toBe(0);
    expect(stdout).toMatch(/throughput\n.*\?\n\s+transports: tcp, ipc, inproc\n\s+sizes: 1, /);
    expect(stdout).toMatch(/zeromq\s+npm zeromq/);
  });

  it("finds packages of the project that it runs in", async () => {
    const project = join(folder, "project");
    mkdirSync(join(project, "node_modules/nats"), { recursive: true });
    writeFileSync(join(project, "node_modules/nats/index.js"), "");
    const listed = async (cwd: string) => {
      const { stdout } = await promisify(execFile)(process.execPath, [MAIN, "bench", "list"], { cwd });
      return /^ +nats .*$/m.exec(stdout)?.[0];
    };
    // Where it is installed for the page of performance, it is found without a project.
    const isHere = existsSync(new URL("../../node_modules/nats", import.meta.url));
    expect((await listed(folder))?.includes("the npm package nats")).toBe(!isHere);
    expect(await listed(project)).not.toContain("the npm package nats");
  });

  it("measures over each transport, prints tables and writes what it measured", async () => {
    const json = join(folder, "runs.jsonl");
    const html = join(folder, "report.html");
    const args = ["throughput", "--smoke", "--transport", "tcp,inproc", "--json", json];
    const { code, stdout, stderr } = await bench(...args, "--peers", "zeromq", "--html", html);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    for (const transport of ["tcp", "inproc"]) expect(stdout).toContain(`${transport}, 64 B`);
    const lines = jsonOf(readFileSync(json));
    expect(lines[0]).toMatchObject({ type: "machine", smoke: true, node: process.version });
    const measured = lines.filter(({ type }) => type === "run");
    expect(measured).toHaveLength(2);
    for (const { sides, figures } of measured) {
      for (const { cpuSeconds, peakRss, gcSeconds } of sides) {
        expect(cpuSeconds).toBeGreaterThan(0);
        expect(peakRss).toBeGreaterThan(1e6);
        expect(gcSeconds).toBeGreaterThanOrEqual(0);
      }
      expect(Math.min(...(Object.values(figures) as number[]))).toBeGreaterThan(0);
    }
    expect(readFileSync(html, "utf8")).toContain("<svg");
  });

  it("compares two builds, of which it needs the library alone", async () => {
    const library = join(folder, "library");
    mkdirSync(join(library, "dist"), { recursive: true });
    for (const part of readdirSync(join(ROOT, "dist")))
      if (part !== "bench") symlinkSync(join(ROOT, "dist", part), join(library, "dist", part));
    copyFileSync(join(ROOT, "package.json"), join(library, "package.json"));
    const { stdout, stderr } = await bench("compare", library, ROOT, "latency", "--smoke", "--busy");
    expect(stderr).toBe("");
    expect(stdout).toMatch(/ before .* 1 │\n.* after .* 1 │\n/);
    expect(readdirSync(folder).filter((name) => name.startsWith("shoal-bench-build"))).toEqual([]);
  });

  it("plays the two roles in two places", async () => {
    const consumer = start("throughput", "--smoke", "--role", "consumer", "--bind", "tcp://127.0.0.1:*");
    const [endpoint] = await consumer.child.until("stderr", /tcp:\/\/127\.0\.0\.1:\d+/);
    const producer = await bench("throughput", "--smoke", "--role", "producer", "--connect", endpoint);
    expect(producer).toMatchObject({ code: 0, stdout: expect.stringContaining("5000 messages in") });
    const { code, stdout } = await consumer.child.outcome;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^[\d.]+( [kM])? msg\/s, 5000 messages in /);
  });

  it("prints what a role did that works until Ctrl-C", async () => {
    const server = start("latency", "--smoke", "--role", "server", "--bind", "tcp://127.0.0.1:*");
    await server.child.until("stderr", /end with Ctrl-C/);
    server.child.signal("SIGINT");
    const { code, stdout } = await server.child.outcome;
    expect(stdout).toMatch(/^0 messages in /);
    expect(code).toBe(0);
  });
});

describe("stopped early", () => {
  const running = () => {
    const json = join(folder, `${randomUUID()}.jsonl`);
    const args = ["throughput", "--smoke", "--peers", "zeromq", "--runs", "1000", "--json", json];
    const measuring = start(...args);
    const measured = () => existsSync(json) && readFileSync(json, "utf8").includes('"type":"run"');
    return {
      ...measuring,
      ready: until(() => measured() && marked(measuring.marker).length > 1, "a run", 30_000),
    };
  };

  const withProc = it.runIf(existsSync("/proc/self/environ"));

  withProc("by Ctrl-C it prints what was measured, and leaves no child", async () => {
    const { child, marker, ready } = running();
    await ready;
    child.signal("SIGINT");
    const { code, stdout, stderr } = await child.outcome;
    expect(marked(marker)).toEqual([]);
    expect(stdout).toContain("Interrupted: these results are incomplete.");
    expect(stdout).toMatch(/npm zeromq .* \d+ /);
    expect(stderr).toContain("interrupted");
    expect(code).toBe(1);
  });

  withProc("by a kill its children end with it", async () => {
    const { child, marker, ready } = running();
    await ready;
    child.signal("SIGKILL");
    await child.outcome;
    await until(() => marked(marker).length === 0, "the ends of its children", 30_000);
  });
});
