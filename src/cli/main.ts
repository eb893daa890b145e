#!/usr/bin/env node
/** The `shoal` binary: the program, and what becomes of its errors. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { builtFile } from "../core/built-file.js";
import { addCommands } from "./commands.js";
import { describe, exitCodeOf, UsageError } from "./failure.js";
import { tellFailure } from "./log.js";

const AFTER = `
Messages are lines: standard input is sent, what comes is printed, everything
else is on standard error. Exit codes: 0 done, 1 it failed, 2 bad usage.
Each command has examples: shoal COMMAND --help

Example, in two terminals:
  shoal pull --bind tcp://127.0.0.1:5557
  echo hello | shoal push --connect tcp://127.0.0.1:5557`;

/** @param name of the command that is wanted, if the first word is one */
async function createProgram(name: string | undefined): Promise<Command> {
  const { version } = JSON.parse(readFileSync(builtFile("package.json"), "utf8")) as { version: string };
  const program = new Command("shoal")
    .description("Send and receive over ZeroMQ sockets from the terminal.")
    .version(version)
    .addHelpText("after", AFTER)
    .helpCommand(false)
    .exitOverride();
  await addCommands(program, name);
  addHelpCommand(program);
  for (const command of [program, ...program.commands.flatMap((each) => [each, ...each.commands])]) {
    const name = pathOf(command);
    command.configureOutput({
      outputError: (text, write) => {
        const what = text
          .replace(/^error: /, "")
          .trim()
          .replaceAll(/\s*\n\s*/g, " ");
        write(`${name}: ${what} (see ${name} --help)\n`);
      },
    });
  }
  return program;
}

/** A command's name as a user types it: "shoal majordomo call". */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** Commander's own prints everything for a command it does not know. */
function addHelpCommand(program: Command): void {
  program
    .command("help [command...]")
    .summary("show the help of a command")
    .action((names: readonly string[]) => {
      let command = program;
      for (const name of names) {
        const inner = command.commands.find((known) => known.name() === name);
        if (inner === undefined) {
          const where = command === program ? "there is" : `${pathOf(command)} has`;
          throw new UsageError(`${where} no command ${JSON.stringify(name)}`);
        }
        command = inner;
      }
      command.help();
    });
}

/** @returns the exit code */
async function run(argv: readonly string[]): Promise<number> {
  const program = await createProgram(argv[2]);
  let name = "shoal";
  program.hook("preAction", (_, action) => {
    name = pathOf(action);
  });
  try {
    await program.parseAsync(argv);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    tellFailure(name.slice("shoal ".length), describe(error));
    return exitCodeOf(error);
  }
}

// Nobody reads the log any more: no reason to stop, and nobody to tell.
process.stderr.on("error", () => undefined);
// Commands that print look themselves; help for nobody is no fault.
process.stdout.on("error", () => undefined);

const code = await run(process.argv);
// Standard input may still be open, and would hold the process.
process.exit(code);
