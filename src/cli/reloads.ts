/**
 * A command that reads its configuration again on SIGHUP.
 *
 *   SIGHUP --> read --problems--> logged; the running state continues
 *                +--> applied --> logged
 *
 * Reloads run one after the other; signals during a reload cause one more.
 */
import { ConfigurationError, type Problem, problemLine } from "../config/file.js";
import { describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import { terminal } from "./terminal.js";

export interface ReloadEffects {
  /** @returns the changes in words; empty: none @throws ConfigurationError; Failure for what needs a restart */
  apply(): Promise<string>;
  /** Subject of the log line for a failed reload: "the proxies continue". */
  readonly unchanged: string;
}

export class Reloads {
  readonly #what: string;
  readonly #log: Log;
  readonly #effects: ReloadEffects;
  readonly #signals = terminal().signals;
  #isAsked = false;
  /** Also before {@link begin}. */
  #isBusy = true;

  /** Keeps a signal that comes before {@link begin}. @param what is read: a file, or options */
  constructor(what: string, log: Log, effects: ReloadEffects) {
    this.#what = what;
    this.#log = log;
    this.#effects = effects;
    this.#signals.on("SIGHUP", this.#onHangUp);
  }

  /** The first configuration is applied. */
  begin(): void {
    void this.#run();
  }

  close(): void {
    this.#signals.off("SIGHUP", this.#onHangUp);
  }

  readonly #onHangUp = (): void => {
    this.#isAsked = true;
    if (!this.#isBusy) void this.#run();
  };

  async #run(): Promise<void> {
    this.#isBusy = true;
    while (this.#isAsked) {
      this.#isAsked = false;
      try {
        const changed = await this.#effects.apply();
        this.#log.info(`read ${this.#what} again: ${changed === "" ? "nothing changed" : changed}`);
      } catch (error) {
        const { message } = failureOf(this.#what, error, this.#log);
        this.#log.error(`${message}; ${this.#effects.unchanged} unchanged`);
      }
    }
    this.#isBusy = false;
  }
}

/** Logs every problem. @returns the command's failure */
export function failureOf(file: string, error: unknown, log: Log): Failure {
  if (error instanceof ConfigurationError) {
    for (const problem of error.problems) log.error(problemLine(problem));
    return problemsOf(file, error.problems.length);
  }
  return new Failure(`${file}: ${describe(error)}`);
}

/** Prints every problem of a file, or its content by `read`. @throws Failure for a problem */
export async function checkFile(
  file: string,
  { json }: { readonly json?: boolean },
  read: () => Promise<string>,
): Promise<void> {
  let problems: readonly Problem[] = [];
  const { stdout, stderr } = terminal();
  try {
    const found = await read();
    if (json !== true) stdout.write(`${file}: ${found}\n`);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems = error.problems;
    if (json !== true) for (const problem of problems) stderr.write(`${problemLine(problem)}\n`);
  }
  if (json === true) stdout.write(`${JSON.stringify({ ok: problems.length === 0, problems })}\n`);
  if (problems.length > 0) throw problemsOf(file, problems.length);
}

function problemsOf(file: string, count: number): Failure {
  return new Failure(`${file} has ${count === 1 ? "a problem" : `${count} problems`}`);
}
