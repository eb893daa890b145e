/** shoal proxy --config FILE and shoal proxy check FILE. What reads YAML is loaded only then. */
import type { Command } from "commander";
import type { Problem } from "../proxy/config/source.js";
import { addCommand } from "./command.js";
import { Failure, UsageError } from "./failure.js";
import { addOperationOptions, type OperationSettings } from "./operation.js";

/** What goes with --config. */
export interface ConfigSettings extends OperationSettings {
  readonly config?: string;
  readonly watch?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
}

/** Gives the command `proxy` its own options, and `check`. */
export function addConfiguration(proxy: Command): void {
  addCommand(proxy, {
    name: "check",
    summary: "say what is wrong with a configuration",
    description:
      "Reads a configuration as --config does, with the files that it names, and says all that is wrong with it, " +
      "a fault a line: FILE:LINE:COLUMN: PATH: what. Opens nothing. Exit code 1 when there is something.",
    examples: ["shoal proxy check /etc/shoal/proxy.yaml"],
  })
    .argument("<FILE>")
    .option("--json", "print the faults as JSON")
    .action(check);
  addOperationOptions(proxy)
    .option("--config <FILE>", "run the proxies of a file (YAML), and follow its changes")
    .option("--no-watch", "with --config: read the file again on SIGHUP only")
    .option("--json", "with --config: print what passed each when it ends, as JSON")
    .option("-q, --quiet", "with --config: only errors on standard error")
    .option("-v, --verbose", "with --config: peers that come and go on standard error")
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (settings: ConfigSettings, command: Command) => {
      const { config } = settings;
      const [other] = command.args;
      if (config === undefined) {
        if (other === undefined) command.help({ error: true });
        throw new UsageError(
          other.startsWith("-")
            ? `unknown option '${other.split("=")[0]}'; expected queue, forwarder, streamer, check or --config FILE first`
            : `unknown command '${other}'; expected queue, forwarder, streamer, check or --config FILE`,
        );
      }
      if (other !== undefined)
        throw new UsageError(`--config FILE says all of it; ${other.split("=")[0]} does not go with it`);
      const { runConfiguration } = await import("./proxy-fleet.js");
      await runConfiguration(config, settings);
    });
}

async function check(file: string, { json }: { readonly json?: boolean }): Promise<void> {
  const { ConfigurationError, loadConfiguration, problemLine } = await import("../proxy/config/index.js");
  let problems: readonly Problem[] = [];
  try {
    const { configuration } = await loadConfiguration(file);
    if (json !== true) {
      const proxies = Object.entries(configuration.proxies).map(([name, { kind }]) => `${name} (${kind})`);
      process.stdout.write(`${file}: ${proxies.join(", ")}\n`);
    }
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems = error.problems;
    if (json !== true) for (const problem of problems) process.stderr.write(`${problemLine(problem)}\n`);
  }
  if (json === true) process.stdout.write(`${JSON.stringify({ ok: problems.length === 0, problems })}\n`);
  if (problems.length > 0) throw new Failure(faults(file, problems.length));
}

/** `FILE has 3 faults` */
export function faults(file: string, count: number): string {
  return `${file} has ${count === 1 ? "a fault" : `${count} faults`}`;
}
