/** shoal completion, shoal man: what other programs show of the commands. */
import { Argument, type Command } from "commander";
import { type CommandNode, commandTree } from "./command-tree.js";
import { completionScript, SHELLS, type Shell } from "./completion-scripts.js";
import { manPage } from "./man-page.js";
import { addCommand, examplesOf } from "./options.js";
import { printText } from "./output.js";

/** @param everything the program with all of its commands @param notes what its help ends with */
export function addCompletionCommands(
  program: Command,
  everything: () => Promise<Command>,
  notes: string,
): void {
  const tree = async (): Promise<CommandNode> => commandTree(await everything(), examplesOf);
  addCommand(program, {
    name: "completion",
    summary: "print a script that completes command lines",
    description:
      "Prints a script for SHELL that completes commands, options and their values. All of it is in the script: a Tab starts " +
      "no process. It is of this version; print it again after an update.",
    examples: [
      'eval "$(shoal completion bash)"',
      "source <(shoal completion zsh)",
      "shoal completion fish > ~/.config/fish/completions/shoal.fish",
    ],
  })
    .addArgument(new Argument("<SHELL>", "the shell").choices([...SHELLS]))
    .action(async (shell: Shell) => printText(completionScript(shell, await tree())));
  addCommand(program, {
    name: "man",
    summary: "print the manual page",
    description:
      "Prints the manual page of all commands, for man. An install with npm -g has it as shoal(1).",
    examples: ["shoal man | man -l -"],
  }).action(async () => {
    const all = await everything();
    await printText(manPage(commandTree(all, examplesOf), all.version() ?? "", notes));
  });
}
