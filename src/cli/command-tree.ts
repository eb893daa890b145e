/** The commands of the binary as plain data: what completions, the manual and its tests are made of. */
import type { Command, Option } from "commander";

/** What a shell offers after an option, or in place of an argument. */
export type ValueKind = "none" | "words" | "file" | "folder" | "endpoint" | "other";

export interface OptionNode {
  /** As the help has them: `-q, --quiet`, `--bind <EP>`. */
  readonly flags: string;
  /** `-q`, `--quiet`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly kind: ValueKind;
  /** Where the kind is `words`. */
  readonly words: readonly string[];
}

export interface CommandNode {
  /** As a user types it: `shoal majordomo broker`. */
  readonly path: string;
  readonly name: string;
  /** The heading under which the help of its parent has it. */
  readonly group: string;
  readonly summary: string;
  readonly description: string;
  /** After the path: `[options] <address...>`. */
  readonly usage: string;
  readonly examples: readonly string[];
  /** Without those that the help leaves out. */
  readonly options: readonly OptionNode[];
  /** Words that its first argument may be; empty where that is something else. */
  readonly words: readonly string[];
  readonly commands: readonly CommandNode[];
}

/** @param examplesOf the command lines of a command's help */
export function commandTree(
  command: Command,
  examplesOf: (command: Command) => readonly string[],
  parent = "",
): CommandNode {
  const path = parent === "" ? command.name() : `${parent} ${command.name()}`;
  return {
    path,
    name: command.name(),
    group: command.helpGroup().replace(/:$/, ""),
    summary: command.summary() || command.description(),
    description: command.description(),
    usage: command.usage(),
    examples: examplesOf(command),
    options: [...command.options.filter((option) => !option.hidden).map(optionNode), HELP],
    words: command.registeredArguments[0]?.argChoices ?? [],
    commands: command.commands.map((inner) => commandTree(inner, examplesOf, path)),
  };
}

/** Commander has it apart from the options. */
const HELP: OptionNode = {
  flags: "-h, --help",
  names: ["-h", "--help"],
  description: "display help for command",
  kind: "none",
  words: [],
};

function optionNode(option: Option): OptionNode {
  const words = option.argChoices ?? [];
  return {
    flags: option.flags,
    names: [option.short, option.long].filter((name) => name !== undefined && name !== null),
    description: option.description,
    kind: words.length > 0 ? "words" : kindOf(option.flags),
    words,
  };
}

/** By the name that the help has for the value, which is the same everywhere. */
function kindOf(flags: string): ValueKind {
  const [, value] = /[<[]([^>\]]+)[>\]]$/.exec(flags) ?? [];
  if (value === undefined) return "none";
  if (/^(?:FILE|PATH|NAME_secret)\b/.test(value)) return "file";
  if (/^(?:DIR|FOLDER)\b/.test(value)) return "folder";
  return /^EP\b/.test(value) ? "endpoint" : "other";
}

/** A command and all below it. */
export function allCommands(node: CommandNode): CommandNode[] {
  return [node, ...node.commands.flatMap(allCommands)];
}
