/** shoal bench. The benchmark harness is loaded on use. */
import type { Command } from "commander";
import { builtFile } from "../core/packages.js";
import { Reported, UsageError } from "./failure.js";
import { addCommand, repeatable } from "./options.js";

/** The harness, compiled to dist/bench apart from the library. */
interface Harness {
  bench(options: object): Promise<number>;
}

export function addBenchCommand(program: Command): void {
  const command = addCommand(program, {
    name: "bench",
    summary: "measure shoal and others, side by side, on this machine",
    description:
      "Runs scenarios: implementations in turn, in separate processes, with verified output. WHAT is one or more " +
      "scenarios, or all; list prints them. page measures the cases of docs/performance.md, in half an hour at most. " +
      "compare BEFORE AFTER compares two files of --json, or measures two folders of shoal in turns; it exits with 1 " +
      "if something became worse by more than noise, and with 2 if the runs are too few. report FILE... makes reports " +
      "of such files.",
    examples: [
      "shoal bench list",
      "shoal bench throughput --size 64,1024 --json before.jsonl",
      "shoal bench latency --transport tcp,ipc --peers shoal-libzmq,zeromq --html report.html",
      "shoal bench page --json page.jsonl --markdown docs/performance.md",
      "shoal bench all --smoke",
      "shoal bench compare before.jsonl after.jsonl",
      "shoal bench compare ../main . throughput --size 64,1024",
      "shoal bench throughput --role consumer --bind tcp://127.0.0.1:5557",
    ],
  });
  command
    .argument(
      "[what...]",
      "scenarios, all (the default), page, list, compare BEFORE AFTER [SCENARIOS], or report FILE...",
    )
    .option("--engine <NAMES>", "only these engines of shoal")
    .option("--transport <NAMES>", "tcp, ipc, inproc, ws, tls (default: the scenario's first)")
    .option("--size <BYTES>", "message sizes, such as 64,1024 (default: the scenario's)")
    .option(
      "--peers <NAMES>",
      "only these implementations (default: all available); compare of folders: these too",
    )
    .addOption(repeatable("--set <NAME=VALUES>", "values of a scenario's parameter (repeatable)"))
    .option(
      "--runs <N>",
      "number of runs of each case (default: until the result is certain enough, at most 20)",
    )
    .option(
      "--time <S>",
      "seconds of a case, after which no round begins; three rounds are made all the same (default: 60)",
    )
    .option("--smoke", "one short run of each case, to check that it works")
    .option("--busy", "page, compare of folders: measure although the machine is not idle")
    .option("--reference <NAME>", "the implementation to compare the others with")
    .option("--no-pin", "do not pin processes to processor cores")
    .option("--json <FILE>", 'write each run as a JSON line; "-" is standard output, instead of the tables')
    .option("--html <FILE>", "write a report with charts")
    .option("--markdown <FILE>", "page, report: put the tables between the markers of this file")
    .option("--svg <FOLDER>", "page, report: draw overview.svg and overview-dark.svg into this folder")
    .option("--threshold <PERCENT>", "compare: the smallest change that counts (default: 5)")
    .option("--relative-to <NAME>", "compare: ratios to this implementation, for files of different machines")
    .option("--role <ROLE>", "run one role here, and the other on another machine")
    .option("--bind <EP>", "where that role binds")
    .option("--connect <EP>", "where that role connects")
    .action(async (what: string[], options: object) => {
      let code: number;
      try {
        const harness = (await import(builtFile("dist/bench/main.js").href)) as Harness;
        code = await harness.bench({ ...options, what: what.length === 0 ? ["all"] : what });
      } catch (error) {
        throw error instanceof Error && error.name === "BadInput" ? new UsageError(error.message) : error;
      }
      if (code !== 0) throw new Reported(code);
    });
}
