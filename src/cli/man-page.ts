/** The manual of the binary, for `man`: one page with all commands, in roff. Pure. */
import { allCommands, type CommandNode, type OptionNode } from "./command-tree.js";

/** Options that most commands have: described once. */
const LOG_OPTIONS = ["--quiet", "--verbose", "--log-level", "--log-format", "--help"];

/** Without a date: the same version is the same page. @param notes what the help ends with */
export function manPage(root: CommandNode, version: string, notes: string): string {
  const log = root.commands.flatMap(allCommands).find(({ options }) => options.some(isCommon))?.options ?? [];
  const groups = new Map<string, CommandNode[]>();
  for (const command of root.commands) {
    const own = groups.get(command.group) ?? [];
    own.push(command);
    groups.set(command.group, own);
  }
  const lines = [
    `.TH SHOAL 1 "" "shoal ${version}" "User Commands"`,
    ".SH NAME",
    `shoal \\- ${roff(root.description)}`,
    ".SH SYNOPSIS",
    ".B shoal",
    ".I COMMAND",
    ".RI [ options ]",
    ".SH DESCRIPTION",
    ...paragraphs(notes),
  ];
  for (const [group, commands] of groups) {
    lines.push(`.SH ${roff(group.toUpperCase())}`);
    for (const command of commands.flatMap(allCommands)) lines.push(...commandLines(command));
  }
  lines.push(".SH OPTIONS OF EVERY COMMAND", ...log.filter(isCommon).flatMap(optionLines));
  lines.push(
    ".SH EXIT STATUS",
    ...[
      ["0", "Success."],
      ["1", "Failure, time-outs included; the reason is one line on standard error."],
      ["2", "Bad usage: the command line itself is wrong."],
    ].flatMap(([code = "", meaning = ""]) => [".TP", `.B ${code}`, meaning]),
    ".SH FILES",
    ".TP",
    ".I docs/cli.md",
    "In the package: the same with examples and what they print.",
  );
  return `${lines.join("\n")}\n`;
}

function isCommon({ names }: OptionNode): boolean {
  return names.some((name) => LOG_OPTIONS.includes(name));
}

function commandLines({ path, usage, description, options, examples, commands }: CommandNode): string[] {
  const lines = [
    `.SS ${roff(path)}`,
    ...(commands.length > 0 ? [] : [`.B ${roff(path)}`, roff(usage), ".PP"]),
    ...paragraphs(description),
    ...options.filter((option) => !isCommon(option)).flatMap(optionLines),
  ];
  if (examples.length > 0)
    lines.push(".PP", "Examples:", ".PP", ".nf", ...examples.map((line) => `    ${roff(line)}`), ".fi");
  return lines;
}

function optionLines({ flags, description, words }: OptionNode): string[] {
  const choices = words.length === 0 ? "" : ` (${words.join(", ")})`;
  return [".TP", `.B ${roff(flags)}`, roff(description + choices)];
}

function paragraphs(text: string): string[] {
  return text
    .trim()
    .split("\n")
    .flatMap((line) => {
      if (line.trim() === "") return [".PP"];
      // What is indented is a command line: as it stands.
      return line.startsWith(" ") ? [".br", `\\&    ${roff(line.trim())}`] : [roff(line.trim())];
    });
}

/** Text that roff prints as it is: no commands at the start of a line, no escapes, dashes that can be copied. */
function roff(text: string): string {
  const escaped = text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll("…", "...");
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}
