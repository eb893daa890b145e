/** shoal bench: the options of the benchmark harness, which is loaded when it is asked for. */
import type { Command } from "commander";
import { builtFile } from "../core/built-file.js";
import { addCommand } from "./command.js";
import { UsageError } from "./failure.js";

/** The harness is compiled apart from the library, to dist/bench; this is all that is known of it here. */
interface Harness {
  bench(options: object): Promise<number>;
}

export function addBenchCommand(program: Command): void {
  const command = addCommand(program, {
    name: "bench",
    summary: "measure shoal and others, side by side, on this machine",
    description:
      "Runs scenarios: the contenders in turn, in processes of their own, their output checked. WHAT is one or more\n" +
      "scenarios, or all; list shows what there is. compare BEFORE AFTER tells a change from noise in two files that\n" +
      "--json wrote, and exits with 1 if something became worse; report FILE... makes reports of such files.",
    examples: [
      "shoal bench list",
      "shoal bench throughput --size 64,1024 --json before.jsonl",
      "shoal bench latency --transport tcp,ipc --peers shoal-libzmq,zeromq --html report.html",
      "shoal bench all --smoke",
      "shoal bench compare before.jsonl after.jsonl",
      "shoal bench throughput --role consumer --bind tcp://127.0.0.1:5557",
    ],
  });
  command
    .argument("[what...]", "scenarios, all (the default), list, compare BEFORE AFTER, or report FILE...")
    .option("--engine <NAMES>", "of shoal, only these engines")
    .option("--transport <NAMES>", "tcp, ipc, inproc (default: the scenario's first)")
    .option("--size <BYTES>", "message sizes, such as 64,1024 (default: the scenario's)")
    .option("--peers <NAMES>", "only these contenders (default: all that are here)")
    .option("--set <NAME=VALUES>", "values of a scenario's parameter; repeatable", collect)
    .option("--runs <N>", "so many runs of each (default: until it is certain enough, 20 at most)")
    .option("--time <S>", "the longest time for a case, in seconds (default: 60)")
    .option("--smoke", "one short run of each, to see that all works")
    .option("--reference <NAME>", "the contender that the others are compared with")
    .option("--no-pin", "let the system choose the processor cores")
    .option(
      "--json <FILE>",
      'write every run as a line of JSON; "-" is standard output, in place of the tables',
    )
    .option("--html <FILE>", "write a report with charts (needs the packages vega and vega-lite)")
    .option("--markdown <FILE>", "report: put the tables between the markers of this page")
    .option("--threshold <PERCENT>", "compare: the least change that counts (default: 5)")
    .option("--relative-to <NAME>", "compare: ratios to this contender, for files of unlike machines")
    .option("--role <ROLE>", "play one role here, the other on another machine")
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
      // It has said why.
      if (code !== 0) process.exit(code);
    });
}

function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
