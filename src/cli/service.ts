/** What the commands of the request-reply patterns share: their options, and what answers a request. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { exec } from "../patterns/kit/exec.js";
import { UsageError } from "./failure.js";
import { Log } from "./log.js";
import { checkSettings, type Given, type Settings } from "./options.js";

/** The largest whole number that an option takes, and the longest time a timer holds, in ms. */
const MAX = 2_147_483_647;

/** Options that have no meaning for a command that runs until it is stopped. */
export const ONE_RUN = ["count", "timeout", "multipart", "raw"] as const;

/** For an option's value: a whole number, `min` or more. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= MAX) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${MAX}.`);
  };
}

/**
 * Checks the shared options of a command that only binds, or only connects.
 *
 * @param unfit shared options that have no meaning here
 * @throws UsageError
 */
export function settingsFor<S extends Settings>(
  given: Given<S>,
  way: "bind" | "connect",
  unfit: readonly string[] = [],
): S {
  const settings = checkSettings(given as Given) as S;
  const other = way === "bind" ? "connect" : "bind";
  if (settings[other].length > 0) throw new UsageError(`--${other} does not fit here; expected --${way} EP`);
  for (const name of unfit) {
    if ((settings as Readonly<Record<string, unknown>>)[name] !== undefined) {
      throw new UsageError(`--${name} does not fit here`);
    }
  }
  return settings;
}

/** Keeps shared options that a command refuses out of its help; whoever gives one is told why not. */
export function hideOptions(command: Command, names: readonly string[]): Command {
  for (const option of command.options) if (names.includes(option.attributeName())) option.hideHelp();
  return command;
}

/** Says in a command's help what a shared option means there. */
export function describeOption(command: Command, name: string, description: string): void {
  for (const option of command.options) if (option.attributeName() === name) option.description = description;
}

/** The log of a command, by its name without `shoal`. */
export function logFor(
  name: string,
  { quiet, verbose }: { readonly quiet?: boolean; readonly verbose?: boolean },
): Log {
  return new Log(name, quiet === true ? "quiet" : verbose === true ? "verbose" : "normal");
}

/** How requests are answered, as the command line says it. */
export interface AnswerSettings {
  readonly echo?: boolean;
  readonly exec?: string;
}

/** Adds `--echo` and `--exec`, of which {@link answerer} wants one. */
export function addAnswerOptions(command: Command): Command {
  return command
    .option("--echo", "reply with the request")
    .addOption(new Option("--exec <CMD>", "run CMD with the request on its input; its output is the reply"));
}

/** Answers a request's frames. */
export type Answer = (
  request: Buffer[],
  context: { readonly signal: AbortSignal },
) => Buffer[] | Promise<Buffer>;

/**
 * What answers: an echo, or a program that is run for each request.
 *
 * @param env set for the program
 * @throws UsageError unless exactly one of the two is chosen
 */
export function answerer(settings: AnswerSettings, env: Readonly<Record<string, string>> = {}): Answer {
  const { echo, exec: command } = settings;
  if ((echo === true) === (command !== undefined)) throw new UsageError("expected --echo or --exec CMD");
  if (command === undefined) return (request) => request;
  return (request, { signal }) => exec(command, request, { signal, env });
}
