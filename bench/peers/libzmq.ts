/** libzmq used from C: the capacity of the library itself. The sources in libzmq/ are compiled for each benchmark. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Contender } from "../contract.js";
import { programFile } from "../places.js";
import { sideArguments } from "./node/side.js";
import { ask, firstThatRuns, lazily, sourceFolder } from "./tools.js";

const SCENARIOS: readonly string[] = [
  "throughput",
  "latency",
  "latency-under-load",
  "fan-out",
  "fan-in",
  "pipeline",
  "request-reply",
  "connection-storm",
  "idle-memory",
  "curve",
  "ws",
  "slow-consumer",
  "subscriptions",
  "start-up",
  "majordomo",
  "proxy",
  "last-value-cache",
];
const INPROC: readonly string[] = ["throughput", "latency"];
const STARTER = programFile("peers/start-up-main");

const GET = "install a C compiler and libzmq's headers (Debian: gcc libzmq3-dev; macOS: brew install zeromq)";

const compilers = process.env.CC ? [process.env.CC] : ["cc", "gcc", "clang"];

/** Location of libzmq by pkg-config; without it, the compiler's defaults. */
const flags = lazily(async () => {
  const said = await ask("pkg-config", ["--cflags", "--libs", "libzmq"]);
  return said.code === 0 ? said.stdout.trim().split(/\s+/) : ["-lzmq"];
});

/** A compiler that finds zmq.h. */
const compiler = lazily(async () => {
  const headers = (await flags()).filter((flag) => !/^-[lL]/.test(flag));
  return firstThatRuns(compilers, ["-x", "c", "-fsyntax-only", ...headers, "-"], "#include <zmq.h>\n");
});

let folder: string | undefined;
let program = "";

async function compile(): Promise<void> {
  const sources = sourceFolder("libzmq", "main.c");
  const cc = await compiler();
  if (sources === undefined || cc === undefined) throw new Error(GET);
  folder = await mkdtemp(join(tmpdir(), "shoal-bench-libzmq-"));
  program = join(folder, "side");
  const files = (await readdir(sources)).filter((file) => file.endsWith(".c")).map((file) => sources + file);
  const args = ["-O2", "-std=gnu11", "-pthread", "-o", program, ...files, ...(await flags())];
  const said = await ask(cc, args);
  if (said.code !== 0) throw new Error(`${cc} failed: ${said.stderr.trim()}`);
}

export const libzmq: Contender = {
  name: "libzmq",
  title: "libzmq in C",
  async absent() {
    if (sourceFolder("libzmq", "main.c") === undefined)
      return "its C sources are in a checkout of shoal, not in the package: clone the repository, and install and build it there";
    return (await compiler()) === undefined ? `no C compiler here finds zmq.h: ${GET}` : undefined;
  },
  supports(scenario, transport) {
    return transport === "inproc" ? INPROC.includes(scenario) : SCENARIOS.includes(scenario);
  },
  command(side) {
    if (side.scenario !== "start-up") return { file: program, args: sideArguments(side) };
    const first = [program, "--scenario", "start-up", "--role", "start-up"];
    return { file: process.execPath, args: [STARTER, JSON.stringify(first), ...sideArguments(side)] };
  },
  async version() {
    return program === "" ? undefined : (await ask(program, ["--version"])).stdout.trim();
  },
  prepare: compile,
  async dispose() {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    folder = undefined;
  },
};
