/** How a socket command is put on the program. */
import type { Command } from "commander";
import { addSocketOptions, type Given, type Settings } from "./options.js";

/** A command's face: what `--help` shows. */
export interface CommandFace {
  readonly name: string;
  readonly summary: string;
  readonly description: string;
  /** Command lines that work as they stand, one a line. */
  readonly examples: readonly string[];
}

/** Adds a command with its help. */
export function addCommand(program: Command, face: CommandFace): Command {
  return program
    .command(face.name)
    .summary(face.summary)
    .description(face.description)
    .addHelpText("after", `\nExamples:\n${face.examples.map((line) => `  ${line}`).join("\n")}`);
}

/** Adds a command with the shared options of the socket commands. `S` has the options of its own. */
export function addSocketCommand<S extends Settings>(
  program: Command,
  face: CommandFace,
  action: (settings: Given<S>) => Promise<void>,
): Command {
  return addSocketOptions(addCommand(program, face)).action((options: Given<S>) => action(options));
}
