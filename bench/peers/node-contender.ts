/** The contenders whose sides are `node/main.ts`: shoal on each of its engines, and the package zeromq. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { ENGINE_NAMES } from "shoal";
import type { Contender, SideCommand, SideRequest } from "../contract.js";
import { PLAYED } from "./node/roles/index.js";
import { sideArguments } from "./node/side.js";

const MAIN = fileURLToPath(new URL("./node/main.js", import.meta.url));
const require = createRequire(import.meta.url);

/** Both libraries need libzmq's binding, which is an optional dependency. */
async function zeromqAbsent(): Promise<string | undefined> {
  try {
    require.resolve("zeromq");
    return undefined;
  } catch {
    return "the package zeromq is not installed: npm install zeromq";
  }
}

async function zeromqVersion(): Promise<string> {
  const { version } = await import("zeromq");
  const { version: own } = require("zeromq/package.json") as { version: string };
  return `zeromq ${own} (libzmq ${version})`;
}

function command(library: string, side: SideRequest, env: Record<string, string>): SideCommand {
  return { file: process.execPath, args: [MAIN, library, ...sideArguments(side)], env };
}

/** shoal on one engine; `batch` uses trySend and receiveMany in place of awaiting each message. */
function shoalContender(engine: string, batch: boolean): Contender {
  return {
    name: batch ? `shoal-${engine}-batch` : `shoal-${engine}`,
    title: batch ? `shoal (${engine}), batch` : `shoal (${engine})`,
    absent: async () => (engine === "libzmq" ? zeromqAbsent() : undefined),
    supports: (scenario) => PLAYED.includes(scenario) && (!batch || BATCHED.includes(scenario)),
    command: (side) =>
      command(
        "shoal",
        { ...side, options: { ...side.options, api: batch ? "batch" : "await" } },
        { SHOAL_ENGINE: engine },
      ),
    version: async () => {
      const { version } = require("shoal/package.json") as { version: string };
      return engine === "libzmq" ? `shoal ${version}, ${await zeromqVersion()}` : `shoal ${version}`;
    },
  };
}

/** The scenarios whose roles look at `kit.batch`: in the others both would measure the same. */
const BATCHED: readonly string[] = ["throughput"];

export const shoalContenders: readonly Contender[] = ENGINE_NAMES.flatMap((engine) => [
  shoalContender(engine, false),
  shoalContender(engine, true),
]);

export const zeromq: Contender = {
  name: "zeromq",
  title: "npm zeromq",
  absent: zeromqAbsent,
  supports: (scenario) => PLAYED.includes(scenario),
  command: (side) => command("zeromq", side, {}),
  version: zeromqVersion,
};
