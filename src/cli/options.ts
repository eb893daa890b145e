/**
 * Commands and their options: those of every command, those that the socket commands share, and the parsers of values.
 *
 * An option of every command stands here and nowhere else: its help in {@link addCommonOptions}, its effect in
 * {@link applyCommonOptions}.
 */
import { type Command, InvalidArgumentError, Option } from "commander";
import { schemeOf } from "../core/schemes/scheme.js";
import { findScheme, reachableForms } from "../core/schemes/schemes.js";
import { addClusterOptions, type ClusterSettings } from "./cluster-options.js";
import { UsageError } from "./failure.js";
import { jsonLog, SEVERITIES, type Severity, useLog } from "./log.js";
import { addSecurityOptions, checkSecurity, type SecuritySettings } from "./security.js";

/** The help of a command. */
export interface CommandFace {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Command lines that work as they stand, one per line. */
  readonly examples: readonly string[];
  /** Of a socket command that only sends, or only receives. */
  readonly direction?: "send" | "receive";
}

/** What the options of every command come to. */
export interface CommonSettings {
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly logFormat?: "json" | "text";
  readonly logLevel?: Severity;
}

/** Commands that run, as distinct from groups of commands. */
const RUNNABLE = new WeakSet<Command>();

/** Adds a command that runs. Its common options follow in {@link addCommonOptions}. */
export function addCommand(parent: Command, face: CommandFace): Command {
  const command = addGroup(parent, face);
  RUNNABLE.add(command);
  return command;
}

/** Gives every command that runs the options that all have, after its own. */
export function addCommonOptions(program: Command): void {
  for (const command of program.commands) {
    addCommonOptions(command);
    if (!RUNNABLE.has(command)) continue;
    command
      .optionsGroup("Log options:")
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

/** The examples of commands, for what shows them apart from the help. */
const EXAMPLES = new WeakMap<Command, readonly string[]>();

/** Adds a command that only has other commands. */
export function addGroup(parent: Command, face: CommandFace): Command {
  const command = parent
    .command(face.name)
    .summary(face.summary)
    .description(face.description)
    .addHelpText("after", `\nExamples:\n${face.examples.map((line) => `  ${line}`).join("\n")}`);
  EXAMPLES.set(command, face.examples);
  return command;
}

/** The command lines in a command's help. */
export function examplesOf(command: Command): readonly string[] {
  return EXAMPLES.get(command) ?? [];
}

/** The effect of the options that every command has, before the command runs. */
export async function applyCommonOptions(settings: CommonSettings): Promise<void> {
  const { quiet, verbose, logLevel, logFormat } = settings;
  useLog({ level: logLevel ?? (quiet === true ? "error" : verbose === true ? "debug" : "info") });
  if (logFormat === "json") useLog({ write: await jsonLog() });
}

/** What the options that the socket commands share come to. */
export interface Settings extends SecuritySettings, ClusterSettings {
  readonly bind: readonly string[];
  readonly connect: readonly string[];
  /** Messages after which the command stops. */
  readonly count?: number;
  /** Longest wait, in ms. */
  readonly timeout?: number;
  readonly json?: boolean;
  readonly raw?: boolean;
  readonly multipart?: string;
}

/** As commander gives them: nothing is required yet. */
export type Given<S extends Settings = Settings> = Partial<S>;

/** Adds a command with the shared options of the socket commands. `S` has the options of its own. */
export function addSocketCommand<S extends Settings>(
  program: Command,
  face: CommandFace,
  action: (settings: Given<S>) => Promise<void>,
): Command {
  const command = addSocketOptions(addCommand(program, face));
  if (face.direction !== undefined) describeOptions(command, OF_DIRECTION[face.direction]);
  return command.action((options: Given<S>) => action(options));
}

/** The help of shared options where messages go one way. */
const OF_DIRECTION: Readonly<Record<"send" | "receive", Readonly<Record<string, string>>>> = {
  send: {
    timeout: "fail when no peer comes within MS",
    raw: "all of the input is one message",
  },
  receive: {
    timeout: "fail when no message comes within MS",
    raw: "print the bytes of messages, with no line feed after each",
  },
};

/** The help of shared options of a command that only binds, or only connects. */
const OF_END: Readonly<Record<"bind" | "connect", Readonly<Record<string, string>>>> = {
  bind: {
    tlsCa: "authorities, in PEM: peers need a certificate of theirs",
    plain: "PLAIN security, as the server",
  },
  connect: {
    tlsCa: "authorities, in PEM, which are trusted in place of the system's",
    plain: "PLAIN security, as a client",
  },
};

/** Options without a meaning for a command that only connects, or only binds. */
const WITHOUT_BIND = ["wsOrigin"];
const WITHOUT_CONNECT = ["clusterGroup", "clusterKey", "clusterPasswordFile", "clusterDiscovery"];

/** Gives a command the shared options. */
export function addSocketOptions(command: Command): Command {
  addSecurityOptions(
    command
      .addOption(repeatable("--bind <EP>", "listen at an endpoint (repeatable)"))
      .addOption(repeatable("--connect <EP>", "connect to an endpoint, or to cluster:NAME (repeatable)"))
      .option("--count <N>", "stop after N messages", wholeNumber(1, Number.MAX_SAFE_INTEGER))
      .option("--timeout <MS>", "fail when no peer or message comes within MS", wholeNumber(0))
      .option("--multipart <SEP>", "several frames per message, separated by SEP", separator)
      .option("--json", 'messages as JSON lines: {"frames":["text",{"base64":"…"}]}')
      .option("--raw", "bytes: all of the input is one message, and no line feed is added to the output"),
  );
  return addClusterOptions(command);
}

/** An option that may be given several times. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, description).argParser((value: string, previous: unknown) => [
    ...(Array.isArray(previous) ? (previous as string[]) : []),
    value,
  ]);
}

/** The largest whole number that most options take, and the longest time of a timer, in ms. */
const MAX = 2_147_483_647;

/** The parser of a whole number from `min` to `max`. */
export function wholeNumber(min: number, max: number = MAX): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** The parser of seconds from `min` to `max`, with a fraction or without. */
export function seconds(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+(?:\.\d+)?$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected seconds from ${min} to ${max}.`);
  };
}

function separator(text: string): string {
  if (text === "") throw new InvalidArgumentError("Expected at least one character.");
  return text;
}

/** The members that are not `undefined`, for options of the library. */
export function defined<T extends object>(members: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as never;
}

/** @throws UsageError for none, or an endpoint that no other process can reach */
export function checkEndpoints(
  endpoints: readonly string[] | undefined,
  expected: string,
): readonly string[] {
  if (endpoints === undefined || endpoints.length === 0) throw new UsageError(`expected ${expected}`);
  for (const endpoint of endpoints) {
    if (findScheme(schemeOf(endpoint))?.reachesProcesses === false)
      throw new UsageError(
        `${endpoint} reaches only this process; expected ${reachableForms().join(" or ")}`,
      );
  }
  return endpoints;
}

/**
 * Checks what one option alone cannot know, before anything is opened.
 *
 * @throws UsageError
 */
export function checkSettings<S extends Settings>(given: Given<S>): S {
  const settings = { ...given, bind: given.bind ?? [], connect: given.connect ?? [] } as unknown as S;
  const { bind, connect, json, raw, multipart } = settings;
  checkEndpoints([...bind, ...connect], "--bind EP or --connect EP");
  if (json === true && raw === true) throw new UsageError("--json and --raw exclude each other");
  if (json === true && multipart !== undefined)
    throw new UsageError("--json and --multipart exclude each other");
  if (raw !== true && multipart?.includes("\n") === true)
    throw new UsageError("--multipart: a line cannot contain a line feed");
  checkSecurity(settings, settings);
  return settings;
}

/** Shared options without a meaning for a command that runs until it is stopped. */
export const ONE_RUN = ["count", "timeout", "multipart", "raw"] as const;

/**
 * Checks the shared options of a command that only binds, or only connects.
 *
 * @param unfit shared options without a meaning here
 * @throws UsageError
 */
export function settingsFor<S extends Settings>(
  given: Given<S>,
  way: "bind" | "connect",
  unfit: readonly string[] = [],
): S {
  const settings = checkSettings(given);
  const other = way === "bind" ? "connect" : "bind";
  if (settings[other].length > 0)
    throw new UsageError(`--${other} is not an option here; expected --${way} EP`);
  for (const name of unfit) {
    if ((settings as unknown as Readonly<Record<string, unknown>>)[name] !== undefined)
      throw new UsageError(`--${name} is not an option here`);
  }
  return settings;
}

/**
 * Keeps shared options that a command refuses out of its help; giving one is an error that names it. What is left of the help is
 * of the end that the command has.
 */
export function hideOptions(command: Command, names: readonly string[]): Command {
  const hidden = [...names];
  if (names.includes("connect")) {
    hidden.push(...WITHOUT_CONNECT);
    describeOptions(command, OF_END.bind);
  }
  if (names.includes("bind")) {
    hidden.push(...WITHOUT_BIND);
    describeOptions(command, OF_END.connect);
  }
  for (const option of command.options) if (hidden.includes(option.attributeName())) option.hideHelp();
  return command;
}

/** Replaces the help of shared options where they mean something else. */
export function describeOptions(command: Command, descriptions: Readonly<Record<string, string>>): void {
  for (const option of command.options) {
    const description = descriptions[option.attributeName()];
    if (description !== undefined) option.description = description;
  }
}
