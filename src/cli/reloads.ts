/**
 * A command that follows its configuration file.
 *
 *   SIGHUP, a change of the file,  --> read --problems--> logged; the running state continues
 *   or of a file that it names           +--> applied --> logged
 *
 * Reloads run one after the other; requests during a reload become one more.
 */
import { ConfigurationError, textOf } from "../config/file.js";
import { type Problem, problemLine } from "../config/problem.js";
import { FileWatch } from "../config/watch.js";
import { describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import { terminal } from "./terminal.js";

export interface Applied {
  /** In words; empty: nothing changed. */
  readonly changed: string;
  /** Absolute paths of named files, which are watched too. */
  readonly files: readonly string[];
}

export interface ReloadEffects {
  /** @throws ConfigurationError for problems */
  apply(text: string): Promise<Applied>;
  /** Subject of the log line for a failed reload: "the proxies continue". */
  readonly unchanged: string;
}

/** A valid configuration that cannot be applied to the running state. */
export class NotApplied extends Failure {
  readonly files: readonly string[];

  /** @param files named by the configuration */
  constructor(message: string, files: readonly string[]) {
    super(message);
    this.files = files;
  }
}

export class Reloads {
  readonly #file: string;
  readonly #log: Log;
  readonly #effects: ReloadEffects;
  readonly #watch: FileWatch;
  readonly #signals = terminal().signals;
  /** The last text, valid or not. */
  #text = "";
  /** Files that the text names. */
  #named: readonly string[] = [];
  /** The last failure, logged once. */
  #fault: string | undefined;
  #ready = false;
  #watches = false;
  #busy = false;
  #asked: "no" | "if-changed" | "always" = "no";

  constructor(file: string, log: Log, effects: ReloadEffects) {
    this.#file = file;
    this.#log = log;
    this.#effects = effects;
    this.#watch = new FileWatch(
      file,
      () => this.#ask(false),
      (error) => log.warnOnce(`cannot watch ${file}: ${describe(error)}; send SIGHUP to read it again`),
    );
  }

  /** Follows SIGHUP. A signal before `first` or `follow` is kept. */
  listen(): this {
    this.#signals.on("SIGHUP", this.#onHangUp);
    return this;
  }

  close(): void {
    this.#watch.close();
    this.#signals.off("SIGHUP", this.#onHangUp);
  }

  /** Reads, applies and follows the file. @param watches the file, or only SIGHUP @throws Failure */
  async first(watches: boolean): Promise<void> {
    try {
      this.#text = await textOf(this.#file);
      await this.#apply(this.#text);
    } catch (error) {
      throw failureOf(this.#file, error, this.#log);
    }
    await this.follow(this.#text, watches, this.#named);
  }

  /** Follows changes after a text that is applied already. @param named files that it names */
  async follow(text: string, watches: boolean, named: readonly string[]): Promise<void> {
    this.#text = text;
    await this.#follow(named);
    this.#ready = true;
    this.#ask(false); // The file may have changed meanwhile, or a SIGHUP may have come.
    this.#watches = watches;
    if (watches) await this.#watch.start();
  }

  readonly #onHangUp = (): void => this.#ask(true);

  /** @param always even for the same text: variables may have changed */
  #ask(always: boolean): void {
    if (this.#asked !== "always") this.#asked = always ? "always" : "if-changed";
    if (this.#ready && !this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#asked !== "no") {
      const always = this.#asked === "always";
      this.#asked = "no";
      await this.#reload(always);
    }
    this.#busy = false;
  }

  async #reload(always: boolean): Promise<void> {
    let isNew = always;
    try {
      const text = await textOf(this.#file, true);
      isNew ||= text !== this.#text;
      this.#text = text;
      // Named files may have changed.
      if (!isNew && this.#named.length === 0) return;
      const changed = await this.#apply(text);
      this.#fault = undefined;
      if (isNew || changed !== "")
        this.#log.info(`read ${this.#file} again: ${changed === "" ? "nothing changed" : changed}`);
    } catch (error) {
      const fault = describe(error);
      const isKnown = fault === this.#fault;
      this.#fault = fault;
      if (isKnown && !isNew) return;
      const { message } = failureOf(this.#file, error, this.#log);
      this.#log.error(`${message}; ${this.#effects.unchanged} unchanged`);
    }
  }

  async #apply(text: string): Promise<string> {
    let files: readonly string[] = [];
    try {
      const applied = await this.#effects.apply(text);
      ({ files } = applied);
      return applied.changed;
    } catch (error) {
      if (error instanceof ConfigurationError || error instanceof NotApplied) ({ files } = error);
      throw error;
    } finally {
      await this.#follow(files);
    }
  }

  async #follow(named: readonly string[]): Promise<void> {
    const before = this.#named;
    this.#named = named;
    if (named.length === before.length && named.every((file, at) => file === before[at])) return;
    this.#watch.alsoFollow(named);
    if (this.#watches) await this.#watch.start();
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
