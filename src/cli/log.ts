/** What a command has to say beside its results: lines on standard error, each after the command's name. */

/** How much is said: errors only, warnings and where it listens, or every peer too. */
export type LogLevel = "quiet" | "normal" | "verbose";

/** Different warnings kept to say each only once: a peer that is refused tries again for ever. */
const MAX_REMEMBERED = 100;

export class Log {
  readonly #name: string;
  readonly #level: LogLevel;
  readonly #said = new Set<string>();

  constructor(name: string, level: LogLevel) {
    this.#name = name;
    this.#level = level;
  }

  error(text: string): void {
    process.stderr.write(`shoal ${this.#name}: ${text}\n`);
  }

  /** Said once, however often it happens. */
  warnOnce(text: string): void {
    if (this.#said.has(text)) return;
    if (this.#said.size >= MAX_REMEMBERED) this.#said.clear();
    this.#said.add(text);
    this.warn(text);
  }

  warn(text: string): void {
    if (this.#level !== "quiet") this.error(text);
  }

  info(text: string): void {
    if (this.#level !== "quiet") this.error(text);
  }

  detail(text: string): void {
    if (this.#level === "verbose") this.error(text);
  }
}
