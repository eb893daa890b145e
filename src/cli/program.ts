/** The program: its commands, errors and exit code. Commands load on use: loading all takes a quarter of a second. */
import { Command, CommanderError } from "commander";
import { quoted, suggest } from "../core/arguments.js";
import { thisProcess } from "../core/packages.js";
import { describe, Failure, hasCode, Reported, UsageError } from "./failure.js";
import { logFailure } from "./log.js";
import { addCommonOptions, applyCommonOptions, pathOf } from "./options.js";
import { type Terminal, terminal, withTerminal } from "./terminal.js";

type Group = readonly [names: string, add: (program: Command, names: string) => Promise<void>];

/** Quoted arguments in commander's errors are cut to 60 characters. */
const LONG_ARGUMENT = /'([^']{60})[^']+'/g;

const GROUPS: Readonly<Record<string, readonly Group[]>> = {
  "Sockets:": [
    [
      "pub sub xpub xsub push pull req rep dealer router pair",
      async (program, names) => (await import("./socket-commands.js")).addSocketCommands(program, names),
    ],
  ],
  "Services and data:": [
    ["majordomo", async (program) => (await import("./majordomo.js")).addMajordomoCommand(program)],
    ["titanic", async (program) => (await import("./titanic.js")).addTitanicCommand(program)],
    ["clone", async (program) => (await import("./clone.js")).addCloneCommand(program)],
    ["lvc", async (program) => (await import("./lvc.js")).addLvcCommand(program)],
  ],
  "Networks:": [
    ["proxy", async (program) => (await import("./proxy.js")).addProxyCommand(program)],
    ["node", async (program) => (await import("./node.js")).addNodeCommand(program)],
  ],
  "Looking:": [
    ["top", async (program) => (await import("./top.js")).addTopCommand(program)],
    ["dashboard", async (program) => (await import("./dashboard.js")).addDashboardCommand(program)],
    ["tap", async (program) => (await import("./tap.js")).addTapCommand(program)],
    ["doctor", async (program) => (await import("./doctor.js")).addDoctorCommand(program)],
    ["bench", async (program) => (await import("./bench.js")).addBenchCommand(program)],
  ],
  "Setting up:": [
    ["keygen", async (program) => (await import("./keygen.js")).addKeygenCommand(program)],
    [
      "completion man",
      async (program) =>
        (await import("./completion.js")).addCompletionCommands(
          program,
          () => createProgram(undefined),
          AFTER,
        ),
    ],
  ],
};

const AFTER = `
Each line of standard input is a message to send, and each message received is
printed as a line. Logs go to standard error.
Exit codes: 0 success, 1 failure, 2 bad usage.
Each command has examples: shoal COMMAND --help

Example, in two terminals:
  shoal pull --bind tcp://127.0.0.1:5557
  echo hello | shoal push --connect tcp://127.0.0.1:5557`;

/** @param name of the used command; any other name adds all commands */
async function createProgram(name: string | undefined): Promise<Command> {
  const program = new Command("shoal")
    .description("Send and receive over ZeroMQ sockets from the terminal.")
    .version(thisProcess().version)
    .addHelpText("after", AFTER)
    .helpCommand(false)
    .exitOverride();
  const isNamed = ([names]: Group): boolean => name !== undefined && names.split(" ").includes(name);
  const named = Object.values(GROUPS).flat().find(isNamed);
  for (const [heading, groups] of Object.entries(GROUPS)) {
    program.commandsGroup(heading);
    for (const group of groups) if (named === undefined || group === named) await group[1](program, group[0]);
  }
  addCommonOptions(program);
  addHelpCommand(program);
  const { stdout, stderr } = terminal();
  for (const command of [program, ...program.commands.flatMap((each) => [each, ...each.commands])]) {
    const name = pathOf(command);
    refuseUnknownWithHelp(command);
    command.configureOutput({
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      outputError: (text, write) => {
        const what = text
          .replace(/^error: /, "")
          .trim()
          .replaceAll(/\s*\n\s*/g, " ")
          .replaceAll(LONG_ARGUMENT, "'$1…'");
        const isUnknown = command !== program && /^unknown command '[^']*'$/.test(what);
        const known = isUnknown ? `; expected ${command.commands.map((each) => each.name()).join(", ")}` : "";
        write(`${name}: ${what}${known} (see ${name} --help)\n`);
      },
    });
  }
  return program;
}

function commandOf(parent: Command, name: string): Command {
  const inner = parent.commands.find((known) => known.name() === name);
  if (inner !== undefined) return inner;
  const where = parent.parent === null ? "there is" : `${pathOf(parent)} has`;
  const known = parent.commands.map((each) => each.name());
  throw new UsageError(`${where} no command ${quoted(name)}${suggest(name, known)}`);
}

/** Commander prints the parent's help for an unknown command with --help, and reports success. */
function refuseUnknownWithHelp(command: Command): void {
  if (command.commands.length === 0) return;
  command.on("beforeHelp", () => {
    const name = command.args.find((word) => word !== "help" && !word.startsWith("-"));
    if (name !== undefined) commandOf(command, name);
  });
}

/** Commander's own prints the whole help for an unknown command. */
function addHelpCommand(program: Command): void {
  program
    .command("help [command...]")
    .summary("show the help of a command")
    .action((names: readonly string[]) => {
      let command = program;
      for (const name of names) command = commandOf(command, name);
      command.help();
    });
}

/** @param own replaces the process's streams and signals @returns the exit code */
export function run(argv: readonly string[], own?: Terminal): Promise<number> {
  return own === undefined ? runHere(argv) : withTerminal(own, () => runHere(argv));
}

async function runHere(argv: readonly string[]): Promise<number> {
  const program = await createProgram(argv[2]);
  let name = "shoal";
  program.hook("preAction", (_, action) => {
    name = pathOf(action);
    applyCommonOptions(action.optsWithGlobals());
  });
  const { stdout } = terminal();
  let failure: Failure | undefined;
  const outputOnError = (error: Error): void => {
    // A lost reader is no failure.
    if (!hasCode(error, "EPIPE")) failure ??= new Failure(`cannot write standard output: ${error.message}`);
  };
  stdout.on("error", outputOnError);
  try {
    await program.parseAsync(argv).catch((error: unknown) => {
      if (!(error instanceof CommanderError && error.exitCode === 0)) throw error;
    });
    // A stream reports an error in a later turn.
    await new Promise((resolve) => setImmediate(resolve));
    if (failure !== undefined) throw failure;
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return 2;
    if (error instanceof Reported) return error.exitCode;
    logFailure(name.slice("shoal ".length), describe(error));
    return error instanceof UsageError ? 2 : 1;
  } finally {
    stdout.off("error", outputOnError);
  }
}
