/** Commands with their help, the options that many commands share, and how values of options are read. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { schemeOf } from "../core/schemes/grammar.js";
import { reachableForms } from "../core/schemes/schemes.js";
import { type IntegerRange, integer } from "../kit/options.js";
import { UsageError } from "./failure.js";
import { SEVERITIES, type Severity, useLog } from "./log.js";
import type { SecuritySettings } from "./security.js";

export const SCHEME = "cluster:";

export interface CommandFace {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Command lines that work as they stand. */
  readonly examples: readonly string[];
}

export interface CommonSettings {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly logFormat?: "json" | "text";
  readonly logLevel?: Severity;
}

/** Commands that run, as opposed to groups. */
const RUNNABLE = new WeakSet<Command>();

/** Adds a command that runs. {@link addCommonOptions} adds its common options. */
export function addCommand(parent: Command, face: CommandFace): Command {
  const command = addGroup(parent, face);
  RUNNABLE.add(command);
  return command;
}

export const LOG_HEADING = "Log options:";

/** Adds common options after each command's own. */
export function addCommonOptions(program: Command): void {
  for (const command of program.commands) {
    addCommonOptions(command);
    if (!RUNNABLE.has(command)) continue;
    command
      .optionsGroup(LOG_HEADING)
      .option("-q, --quiet", "errors only")
      .option("-v, --verbose", "details too, such as peers that join and leave")
      .addOption(
        new Option("--log-level <LEVEL>", "minimum log level (overrides -q and -v)")
          .choices([...SEVERITIES])
          .conflicts(["quiet", "verbose"]),
      )
      .addOption(
        new Option("--log-format <FORMAT>", "format of standard error (default text)").choices([
          "text",
          "json",
        ]),
      );
  }
}

/** Adds `check FILE`. @param like what reads the same configuration @param files that it names */
export function addCheckCommand(
  parent: Command,
  [like, files, example]: readonly [like: string, files: string, example: string],
  check: (file: string, settings: { readonly json?: boolean }) => Promise<void>,
): void {
  addCommand(parent, {
    name: "check",
    summary: "check a configuration",
    description:
      `Reads a configuration as ${like} does, and reports every problem, one per line, including in the ${files} that it ` +
      "names: FILE:LINE:COLUMN: PATH: PROBLEM. Opens nothing. Exit code 1 if there is a problem.",
    examples: [example],
  })
    .argument("<FILE>")
    .option("--json", "print the problems as JSON")
    .action(check);
}

/** Examples for the manual page. */
const EXAMPLES = new WeakMap<Command, readonly string[]>();

export function addGroup(parent: Command, face: CommandFace): Command {
  const command = parent
    .command(face.name)
    .summary(face.summary)
    .description(face.description)
    .addHelpText("after", `\nExamples:\n${face.examples.map((line) => `  ${line}`).join("\n")}`);
  EXAMPLES.set(command, face.examples);
  return command;
}

export function examplesOf(command: Command): readonly string[] {
  return EXAMPLES.get(command) ?? [];
}

/** A command as a user types it: "shoal majordomo call". */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

export function applyCommonOptions(settings: CommonSettings): void {
  const { quiet, verbose, logLevel, logFormat } = settings;
  const level = logLevel ?? (quiet === true ? "error" : verbose === true ? "debug" : "info");
  useLog({ level, isJson: logFormat === "json" });
}

export interface Settings extends SecuritySettings, ClusterSettings {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  /** Messages after which the command stops. */
  readonly count?: number;
  /** ms. */
  readonly timeout?: number;
  readonly json?: boolean;
  readonly raw?: boolean;
  readonly multipart?: string;
}

/** Values from commander. */
export type Given<S extends Settings = Settings> = Partial<S>;

const SHARED = {
  bind: () => repeatable("--bind <EP>", "listen at an endpoint (repeatable)"),
  connect: () => repeatable("--connect <EP>", "connect to an endpoint, or to cluster:NAME (repeatable)"),
  count: () => numberFlag("--count <N>", "stop after N messages", { max: Number.MAX_SAFE_INTEGER }),
  timeout: () => numberFlag("--timeout <MS>", "fail when no peer or message comes within MS", { min: 0 }),
  multipart: () =>
    new Option("--multipart <SEP>", "several frames per message, separated by SEP").argParser(separator),
  json: () => new Option("--json", 'messages as JSON lines: {"frames":["text",{"base64":"…"}]}'),
  raw: () =>
    new Option("--raw", "bytes: all of the input is one message, and no line feed is added to the output"),
} satisfies Record<string, () => Option>;

export type SharedOption = keyof typeof SHARED;

/** @param help replaces a row's help */
export function addSharedOptions(
  command: Command,
  names: readonly SharedOption[],
  help: Partial<Record<SharedOption, string>> = {},
): Command {
  for (const name of names) {
    const option = SHARED[name]();
    option.description = help[name] ?? option.description;
    command.addOption(option);
  }
  return command;
}

function separator(text: string): string {
  if (text === "") throw new InvalidArgumentError("Expected at least one character.");
  return text;
}

/** @throws UsageError for none, or for an endpoint within a process */
export function checkEndpoints(
  endpoints: readonly string[] | undefined,
  expected: string,
): readonly string[] {
  if (endpoints === undefined || endpoints.length === 0) throw new UsageError(`expected ${expected}`);
  for (const endpoint of endpoints) {
    if (schemeOf(endpoint) === "inproc")
      throw new UsageError(
        `${endpoint} reaches only this process; expected ${reachableForms().join(" or ")}`,
      );
  }
  return endpoints;
}

/** Checks options that depend on each other. @param expected the command's options for endpoints @throws UsageError */
export function checkSettings<S extends Settings>(
  given: Given<S>,
  expected = "--bind EP or --connect EP",
): S {
  const settings = { ...given, bind: given.bind ?? [], connect: given.connect ?? [] } as unknown as S;
  const { bind, connect, json, raw, multipart } = settings;
  checkEndpoints([...bind, ...connect], expected);
  if (json === true && raw === true) throw new UsageError("--json and --raw exclude each other");
  if (json === true && multipart !== undefined)
    throw new UsageError("--json and --multipart exclude each other");
  if (raw !== true && multipart?.includes("\n") === true)
    throw new UsageError("--multipart: a line cannot contain a line feed");
  return settings;
}

export function repeatable(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, previous: unknown) => [
    ...(Array.isArray(previous) ? (previous as string[]) : []),
    value,
  ]);
}

/** A flag with the range and default of an option's row. @param kind seconds may have a decimal fraction */
export function numberFlag(
  flags: string,
  help: string,
  range: IntegerRange = {},
  kind: "a whole number" | "seconds" = "a whole number",
): Option {
  const { default: standard, min, max } = integer(range);
  const form = kind === "seconds" ? /^\d+(?:\.\d+)?$/ : /^\d+$/;
  const option = new Option(flags, standard === undefined ? help : `${help} (default ${standard})`);
  return option.argParser((text) => {
    const value = Number(text);
    if (form.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected ${kind} from ${min} to ${max}.`);
  });
}

export interface ClusterSettings {
  readonly clusterName?: string;
  readonly clusterKey?: string;
  readonly clusterPasswordFile?: string;
  readonly clusterDiscovery?: readonly string[];
}

/** @param prefix of the options' names, such as `frontend-` */
export function addClusterOptions(command: Command, prefix = ""): Command {
  const flags = `--${prefix}cluster`;
  const options = [
    new Option(`${flags}-name <N>`, `cluster of --${prefix}connect cluster:NAME (default default)`),
    new Option(
      `${flags}-key <FILE>`,
      "file with its key, as for shoal node start; finds nodes on the network, too",
    ),
    new Option(`${flags}-password-file <FILE>`, "its password in place of a key, as for shoal node start"),
    repeatable(
      `${flags}-discovery <TEXT>`,
      "where to find its nodes, in place of multicast, as for shoal node start (repeatable)",
    ),
  ];
  for (const option of options) command.addOption(option.helpGroup("Cluster options:"));
  return command;
}

export function isOfCluster(endpoint: string): boolean {
  return endpoint.startsWith(SCHEME);
}
