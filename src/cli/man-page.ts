/** The manual page of all commands, in roff. Pure. */
import type { Command, Option } from "commander";
import { examplesOf, LOG_HEADING, pathOf } from "./options.js";

/** Has no date: one version is one page. @param program with all commands @param notes the end of its help */
export function manPage(program: Command, notes: string): string {
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
