/**
 * A command that follows its configuration.
 *
 *   SIGHUP, a change of the file,  --> read --problems--> logged; what runs continues unchanged
 *   or of one that it names              +--> applied --> logged
 *
 * One reload at a time, and one more when it was asked for meanwhile.
 */
import { ConfigurationError, textOf } from "../config/file.js";
import { type Problem, problemLine } from "../config/problem.js";
import { FileWatch } from "../config/watch.js";
import { describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import { terminal } from "./terminal.js";

/** What was applied of a text. */
export interface Applied {
  /** What changed, in words. Empty: nothing. */
  readonly changed: string;
  /** Whole paths of other files that it names, whose changes count, too. */
  readonly files: readonly string[];
}

export interface ReloadEffects {
  /** Applies a text that was read. @throws ConfigurationError for its problems */
  apply(text: string): Promise<Applied>;
  /** What continues when a text cannot be applied: "the proxies continue". */
  readonly unchanged: string;
}

/** What was read is valid, and cannot be applied to what runs. */
export class NotApplied extends Failure {
  readonly files: readonly string[];

  /** @param files that it names */
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
  /** The text read last, valid or not. */
  #text = "";
  /** Files that the text names. */
  #named: readonly string[] = [];
  /** Why the last reload failed: logged once, not at each change of another file in the folder. */
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

  /** Follows SIGHUP from now on; what comes before `first` is done is kept for then. */
  listen(): this {
    this.#signals.on("SIGHUP", this.#onHangUp);
    return this;
  }

  close(): void {
    this.#watch.close();
    this.#signals.off("SIGHUP", this.#onHangUp);
  }

  /** Reads the file for the first time, and follows its changes. @param watches or SIGHUP alone @throws Failure */
  async first(watches: boolean): Promise<void> {
    try {
      this.#text = await textOf(this.#file);
      await this.#apply(this.#text);
    } catch (error) {
      throw failureOf(this.#file, error, this.#log);
    }
    await this.follow(this.#text, watches, this.#named);
  }

  /** Follows the changes of the file from a text on that is applied already. @param named files that it names */
  async follow(text: string, watches: boolean, named: readonly string[]): Promise<void> {
    this.#text = text;
    await this.#follow(named);
    this.#ready = true;
    this.#ask(false); // The file may have changed meanwhile, or a SIGHUP may have come.
    this.#watches = watches;
    if (watches) await this.#watch.start();
  }

  readonly #onHangUp = (): void => this.#ask(true);

  /** @param always even if the text is the same: variables may have changed */
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
      // Files that it names may have changed; what is the same as before changes nothing.
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

  /** @param named by the text */
  async #follow(named: readonly string[]): Promise<void> {
    const before = this.#named;
    this.#named = named;
    if (named.length === before.length && named.every((file, at) => file === before[at])) return;
    this.#watch.alsoFollow(named);
    if (this.#watches) await this.#watch.start();
  }
}

/** Logs every problem, one per line. @returns what the command fails with */
export function failureOf(file: string, error: unknown, log: Log): Failure {
  if (error instanceof ConfigurationError) {
    for (const problem of error.problems) log.error(problemLine(problem));
    return problemsOf(file, error.problems.length);
  }
  return new Failure(`${file}: ${describe(error)}`);
}

/**
 * Prints every problem of a file, or what is in it.
 *
 * @param read what a valid file has, in words
 * @throws Failure when there is a problem
 */
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
