/** Implementations whose sides are `node/main.ts`: shoal on each of its engines, and the package zeromq. */
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { ENGINE_NAMES } from "shoal";
import { BadInput } from "../bad-input.js";
import type { Contender, SideCommand, SideRequest } from "../contract.js";
import { packageFile, programFile, ROOT, requirePackage } from "../places.js";
import { commitOf } from "../report/machine.js";
import { PATTERNS, PLAIN_PATTERNS, PLAYED } from "./node/roles/index.js";
import { sideArguments } from "./node/side.js";

const MAIN = programFile("peers/node/main");
const require = createRequire(import.meta.url);

/** Both libraries need libzmq's binding, an optional dependency. */
async function zeromqAbsent(): Promise<string | undefined> {
  return packageFile("zeromq") === undefined
    ? "the package zeromq is not installed: npm install zeromq"
    : undefined;
}

async function zeromqVersion(): Promise<string> {
  const { version } = requirePackage<{ version: string }>("zeromq");
  const { version: own } = requirePackage<{ version: string }>("zeromq/package.json");
  return `zeromq ${own} (libzmq ${version})`;
}

function command(library: string, side: SideRequest, env: Record<string, string>): SideCommand {
  return { file: process.execPath, args: [MAIN, library, ...sideArguments(side)], env };
}

/** Scenarios of transports that only the engine zmtp supports. */
const TRANSPORT_SCENARIOS: readonly string[] = ["ws", "tls"];

/** Scenarios that neither the package zeromq nor the engine libzmq plays: of transports, and of requests between nodes. */
const OWN_SCENARIOS: readonly string[] = [...TRANSPORT_SCENARIOS, "service"];

/** Ways to use shoal: their names, and the scenarios in which they differ. */
const APIS = {
  await: { suffix: "", title: "", plays: [...PLAYED, ...PATTERNS] },
  /**
   * trySend, receiveMany and batches instead of awaiting each message, where the number of messages counts.
   */
  batch: {
    suffix: "-batch",
    title: ", batch",
    plays: ["throughput", "fan-in", "fan-out", "pipeline", "proxy", "threads", ...TRANSPORT_SCENARIOS],
  },
  /** Like batch over tcp, for the scenarios of other transports. */
  tcp: { suffix: "-tcp", title: ", batch, tcp", plays: TRANSPORT_SCENARIOS },
  /** A context with `lowLatency`, where one message is in flight at a time. */
  "low-latency": { suffix: "-low-latency", title: ", low latency", plays: ["latency"] },
  /** Plain sockets instead of a pattern. */
  plain: { suffix: "-plain", title: ", plain sockets", plays: PLAIN_PATTERNS },
} as const;

/** Replaces another transport by tcp for one side; the other side gets the endpoint that this one reports. */
function overTcp({ endpoint, options, ...side }: SideRequest): SideRequest {
  const tcp = endpoint?.replace(/^\w+:/, "tcp:");
  return {
    ...side,
    ...(tcp === undefined ? {} : { endpoint: tcp }),
    options: { ...options, api: "batch" },
  };
}

function shoalContender(engine: string, api: keyof typeof APIS): Contender {
  const { suffix, title, plays } = APIS[api];
  return {
    name: `shoal-${engine}${suffix}`,
    title: `shoal (${engine})${title}`,
    absent: async () => (engine === "libzmq" ? zeromqAbsent() : undefined),
    supports(scenario) {
      if (scenario.startsWith("cluster-") && engine !== "zmtp") return false;
      if (OWN_SCENARIOS.includes(scenario) && engine !== "zmtp") return false;
      // The engine libzmq does not run in worker threads.
      if (scenario === "threads" && engine !== "zmtp") return false;
      return (plays as readonly string[]).includes(scenario);
    },
    command: (side) =>
      command("shoal", api === "tcp" ? overTcp(side) : { ...side, options: { ...side.options, api } }, {
        SHOAL_ENGINE: engine,
      }),
    version: async () => {
      const { version } = require("shoal/package.json") as { version: string };
      return engine === "libzmq" ? `shoal ${version}, ${await zeromqVersion()}` : `shoal ${version}`;
    },
  };
}

export const shoalContenders: readonly Contender[] = ENGINE_NAMES.flatMap((engine) => [
  shoalContender(engine, "await"),
  shoalContender(engine, "batch"),
  shoalContender(engine, "plain"),
  ...(engine === "zmtp" ? [shoalContender(engine, "low-latency"), shoalContender(engine, "tcp")] : []),
]);

/**
 * Another build of shoal, in a folder of links with this harness: sides of two harnesses differ in processor time.
 *
 * @param folder a checkout that was built, or an installation
 */
export function shoalBuild(name: string, folder: string): Contender {
  const library = resolve(folder, "dist");
  if (!existsSync(join(library, "index.js")))
    throw new BadInput(`${folder || name} is no folder of a built shoal`);
  const ours = shoalContender("zmtp", "await");
  let place = "";
  return {
    ...ours,
    name,
    title: name,
    async prepare() {
      place = await mkdtemp(join(tmpdir(), "shoal-bench-build-"));
      await cp(join(ROOT, "dist/bench"), join(place, "dist/bench"), { recursive: true });
      for (const part of await readdir(library))
        if (part !== "bench") await symlink(join(library, part), join(place, "dist", part));
      for (const part of ["package.json", "node_modules"])
        await symlink(resolve(folder, part), join(place, part));
    },
    dispose: () => rm(place, { recursive: true, force: true }),
    command(side) {
      const { file, args, ...rest } = ours.command(side);
      return { file, args: [join(place, "dist/bench/peers/node/main.js"), ...args.slice(1)], ...rest };
    },
    version: async () => `${folder}, commit ${(await commitOf(folder)) ?? "unknown"}`,
  };
}

export const zeromq: Contender = {
  name: "zeromq",
  title: "npm zeromq",
  absent: zeromqAbsent,
  supports: (scenario) =>
    !scenario.startsWith("cluster-") &&
    !OWN_SCENARIOS.includes(scenario) &&
    (PLAYED.includes(scenario) || PLAIN_PATTERNS.includes(scenario)),
  command: (side) => command("zeromq", side, {}),
  version: zeromqVersion,
};
