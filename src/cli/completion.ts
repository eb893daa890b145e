/**
 * shoal completion and shoal man.
 *
 *   Tab ──> script of the shell ──> shoal complete WORD… ──> a line per candidate: WORD, a tab, its help
 */
import { Argument, type Command, type Option } from "commander";
import { reachableForms } from "../core/schemes/schemes.js";
import { addCommand, examplesOf, LOG_HEADING, pathOf, SCHEME } from "./options.js";
import { printText } from "./output.js";

const SCRIPTS = {
  bash: `# Completion of shoal for bash: eval "$(shoal completion bash)"
_shoal() {
  local IFS=$'\\n' current="\${COMP_WORDS[COMP_CWORD]}"
  COMPREPLY=($(compgen -W "$(shoal complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)" -- "$current"))
  case "\${COMPREPLY[0]}" in *[:/]) compopt -o nospace 2>/dev/null ;; esac
}
complete -o default -F _shoal shoal
`,
  zsh: `#compdef shoal
# Completion of shoal for zsh: source <(shoal completion zsh), or as the file _shoal in a folder of $fpath.
_shoal() {
  local -a lines offers
  lines=(\${(f)"$(shoal complete -- "\${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)"})
  offers=(\${\${lines//:/\\\\:}/$'\\t'/:})
  _describe command offers || _files
}
if [ "\${funcstack[1]}" = _shoal ]; then _shoal "$@"; else compdef _shoal shoal; fi
`,
  fish: `# Completion of shoal for fish: shoal completion fish | source
complete -c shoal -a '(shoal complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
};

/** @param everything the program with all commands @param notes the end of its help */
export function addCompletionCommands(
  program: Command,
  everything: () => Promise<Command>,
  notes: string,
): void {
  addCommand(program, {
    name: "completion",
    summary: "print a script that completes command lines",
    description: "Prints a script for SHELL that completes commands, options and their values.",
    examples: [
      'eval "$(shoal completion bash)"',
      "source <(shoal completion zsh)",
      "shoal completion fish > ~/.config/fish/completions/shoal.fish",
    ],
  })
    .addArgument(new Argument("<SHELL>", "the shell").choices(Object.keys(SCRIPTS)))
    .action((shell: keyof typeof SCRIPTS) => printText(SCRIPTS[shell]));
  program
    .command("complete [word...]", { hidden: true })
    .summary("print what may stand in place of the last word")
    .action(async (words: string[]) => {
      const lines = offers(await everything(), words);
      if (lines.length > 0) await printText(lines.join("\n"));
    });
  addCommand(program, {
    name: "man",
    summary: "print the manual page",
    description:
      "Prints the manual page of all commands, for man. An install with npm -g has it as shoal(1).",
    examples: ["shoal man | man -l -"],
  }).action(async () => printText(manPage(await everything(), notes)));
}

function offers(program: Command, words: readonly string[]): string[] {
  let command = program;
  let awaited: Option | undefined;
  for (const word of words.slice(0, -1)) {
    const option: Option | undefined = awaited === undefined ? optionOf(command, word) : undefined;
    if (awaited === undefined && option === undefined)
      command = command.commands.find((each) => each.name() === word) ?? command;
    awaited = option?.required === true || option?.optional === true ? option : undefined;
  }
  if (awaited !== undefined) {
    if (awaited.argChoices !== undefined) return [...awaited.argChoices];
    return /<EP>$/.test(awaited.flags) ? beginnings() : [];
  }
  const last = words.at(-1) ?? "";
  const help = command.createHelp();
  return [
    ...help.visibleCommands(command).map((each) => [each.name(), each.summary()]),
    ...(command.registeredArguments[0]?.argChoices ?? []).map((word) => [word, ""]),
    ...help.visibleOptions(command).map(({ long, description }) => [long ?? "", description]),
  ]
    .filter(([word = ""]) => word.startsWith(last))
    .map(([word, help]) => `${word}\t${help}`);
}

/** Of endpoints: `tcp://`. */
function beginnings(): string[] {
  return [...reachableForms().map((form) => form.slice(0, form.indexOf("//") + 2)), SCHEME];
}

function optionOf(command: Command, word: string): Option | undefined {
  return command.options.find(({ short, long }) => word === short || word === long);
}

/** Has no date: one version is one page. @param program with all commands @param notes the end of its help */
function manPage(program: Command, notes: string): string {
  const commands = program.commands.flatMap(withInner).filter((each) => each.name() !== "complete");
  const log = commands.find(({ options }) => options.some(isCommon))?.options ?? [];
  const groups = new Set(program.commands.map((each) => each.helpGroup()).filter((group) => group !== ""));
  const lines = [
    `.TH SHOAL 1 "" "shoal ${program.version() ?? ""}" "User Commands"`,
    ".SH NAME",
    `shoal \\- ${roff(program.description())}`,
    ".SH SYNOPSIS",
    ".B shoal",
    ".I COMMAND",
    ".RI [ options ]",
    ".SH DESCRIPTION",
    ...paragraphs(notes),
  ];
  for (const group of groups) {
    lines.push(`.SH ${roff(group.replace(/:$/, "").toUpperCase())}`);
    for (const command of commands) if (groupOf(command) === group) lines.push(...commandLines(command));
  }
  lines.push(".SH OPTIONS OF EVERY COMMAND", ...log.filter(isCommon).flatMap(optionLines));
  lines.push(
    ".SH FILES",
    ".TP",
    ".I docs/cli.md",
    "In the package: the same with examples and what they print.",
  );
  return `${lines.join("\n")}\n`;
}

function withInner(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withInner)];
}

/** The help heading of a command or of its parent. */
function groupOf(command: Command): string {
  return command.parent?.parent ? groupOf(command.parent) : command.helpGroup();
}

function isCommon({ helpGroupHeading }: Option): boolean {
  return helpGroupHeading === LOG_HEADING;
}

function commandLines(command: Command): string[] {
  const path = roff(pathOf(command));
  return [
    `.SS ${path}`,
    ...(command.commands.length > 0 ? [] : [`.B ${path}`, roff(command.usage()), ".PP"]),
    ...paragraphs(command.description()),
    ...command.options.filter((each) => !each.hidden && !isCommon(each)).flatMap(optionLines),
    ...exampleLines(examplesOf(command)),
  ];
}

function exampleLines(examples: readonly string[]): string[] {
  if (examples.length === 0) return [];
  return [".PP", "Examples:", ".PP", ".nf", ...examples.map((line) => `    ${roff(line)}`), ".fi"];
}

function optionLines({ flags, description, argChoices }: Option): string[] {
  const choices = argChoices === undefined ? "" : ` (${argChoices.join(", ")})`;
  return [".TP", `.B ${roff(flags)}`, roff(description + choices)];
}

function paragraphs(text: string): string[] {
  return text
    .trim()
    .split("\n")
    .flatMap((line) => {
      if (line.trim() === "") return [".PP"];
      // Indented lines are command lines.
      return line.startsWith(" ") ? [".br", `\\&    ${roff(line.trim())}`] : [roff(line.trim())];
    });
}

/** Escapes text for roff; dashes can be copied. */
function roff(text: string): string {
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "...");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
