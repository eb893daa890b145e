/**
 * A command that follows its configuration file.
 *
 *   SIGHUP, a change of the file,  --> read --problems--> logged; what runs continues unchanged
 *   or of one that it names              +--> applied --> logged
 *
 * One reload at a time, and one more when it was asked for meanwhile.
 */
import { ConfigurationError, type NamedFileStates, stateOfNamed, textOf } from "../config/file.js";
import { type Problem, problemLine } from "../config/problem.js";
import { FileWatch } from "../config/watch.js";
import { describe, Failure } from "./failure.js";
import type { Log } from "./log.js";
import { terminal } from "./terminal.js";

/** What becomes of the file's text. */
export interface ReloadEffects {
  /**
   * Applies a text that was read.
   *
   * @returns what changed, in words, and other files that it names, whose changes count, too
   * @throws ConfigurationError for its problems
   */
  apply(text: string): Promise<string | { readonly changed: string; readonly files: NamedFileStates }>;
  /** What continues when a text cannot be applied: "the proxies continue". */
  readonly unchanged: string;
}

/** What was read is valid, and cannot be applied to what runs. */
export class NotApplied extends Failure {
  readonly files: NamedFileStates;

  /** @param files that it names */
  constructor(message: string, files: NamedFileStates) {
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
  /** The text read last, valid or not: a change of another file in the folder does not change it. */
  #text = "";
  /** Files that the text names, as they were when it was applied last. */
  #named: NamedFileStates = {};
  /** Whether the file could not be read: logged once, not at each change of another file in the folder. */
  #gone = false;
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
    let text: string;
    try {
      text = await textOf(this.#file);
      this.#text = text;
      await this.#apply(text);
    } catch (error) {
      throw failureOf(this.#file, error, this.#log);
    }
    await this.follow(text, watches, this.#named);
  }

  /** Follows the changes of the file from a text on that is applied already. @param named files that it names, as they were then */
  async follow(text: string, watches: boolean, named: NamedFileStates = {}): Promise<void> {
    this.#text = text;
    await this.#follow(named);
    this.#ready = true;
    this.#ask(false); // The file may have changed meanwhile, or a SIGHUP may have come.
    this.#watches = watches;
    if (watches) await this.#watch.start();
  }

  readonly #onHangUp = (): void => this.#ask(true);

  /** @param always even if the text is the same: referenced files or variables may have changed */
  #ask(always: boolean): void {
    if (this.#asked !== "always") this.#asked = always ? "always" : "if-changed";
    if (this.#ready && !this.#busy) void this.#run();
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#asked !== "no") {
      const always = this.#asked === "always";
      this.#asked = "no";
      try {
        const text = await this.#read(always);
        if (text === undefined) continue;
        const what = await this.#apply(text);
        this.#log.info(`read ${this.#file} again: ${what}`);
      } catch (error) {
        this.#log.error(
          `${failureOf(this.#file, error, this.#log).message}; ${this.#effects.unchanged} unchanged`,
        );
      }
    }
    this.#busy = false;
  }

  /** @returns `undefined` when the text is the one read last, unless `always` */
  async #read(always: boolean): Promise<string | undefined> {
    let text: string;
    try {
      text = await textOf(this.#file, true);
      this.#gone = false;
    } catch (error) {
      if (this.#gone && !always) return undefined;
      this.#gone = true;
      throw error;
    }
    if (!always && text === this.#text && !(await this.#hasNamedChanged())) return undefined;
    this.#text = text;
    return text;
  }

  async #apply(text: string): Promise<string> {
    let files: NamedFileStates = {};
    try {
      const applied = await this.#effects.apply(text);
      if (typeof applied === "string") return applied;
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
  async #follow(named: NamedFileStates): Promise<void> {
    const before = Object.keys(this.#named);
    const files = Object.keys(named);
    this.#named = named;
    if (files.length === before.length && files.every((file, at) => file === before[at])) return;
    this.#watch.alsoFollow(files);
    if (this.#watches) await this.#watch.start();
  }

  async #hasNamedChanged(): Promise<boolean> {
    for (const [file, state] of Object.entries(this.#named))
      if ((await stateOfNamed(file)) !== state) return true;
    return false;
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
