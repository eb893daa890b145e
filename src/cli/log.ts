/**
 * What a command has to say beside its results: lines on standard error, each after the command's name, or objects of
 * JSON (log-json.ts).
 */

/** How much is said: errors only, warnings and where it listens, or every peer too. */
export type LogLevel = "quiet" | "normal" | "verbose";

/** How grave a line is, the gravest first. */
export const SEVERITIES = ["error", "warn", "info", "debug"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What a line says to machines, beside its text. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes a line of a command; `command` is its name without `shoal`, empty for the program's own. */
export type LogWriter = (severity: Severity, command: string, text: string, fields?: LogFields) => void;

/** Different warnings kept to say each only once: a peer that is refused tries again for ever. */
const MAX_REMEMBERED = 100;

const LEVELS: Readonly<Record<LogLevel, Severity>> = { quiet: "error", normal: "info", verbose: "debug" };

/** One command runs in a process: what it has chosen holds for all that is said, the last error too. */
let writer: LogWriter = (_, command, text) => {
  process.stderr.write(`${command === "" ? "shoal" : `shoal ${command}`}: ${text}\n`);
};
let chosen: Severity | undefined;

/** Everything said from now on goes there, if it is grave enough; what is absent stays as it is. */
export function useLog({ write, level }: { readonly write?: LogWriter; readonly level?: Severity }): void {
  writer = write ?? writer;
  chosen = level ?? chosen;
}

/** Says why a command failed. @param command without `shoal` */
export function tellFailure(command: string, text: string): void {
  writer("error", command, text);
}

export class Log {
  readonly #name: string;
  readonly #level: Severity;
  readonly #said = new Set<string>();

  constructor(name: string, level: LogLevel) {
    this.#name = name;
    this.#level = LEVELS[level];
  }

  error(text: string, fields?: LogFields): void {
    this.#say("error", text, fields);
  }

  /** Said once, however often it happens. */
  warnOnce(text: string, fields?: LogFields): void {
    if (this.#said.has(text)) return;
    if (this.#said.size >= MAX_REMEMBERED) this.#said.clear();
    this.#said.add(text);
    this.warn(text, fields);
  }

  warn(text: string, fields?: LogFields): void {
    this.#say("warn", text, fields);
  }

  info(text: string, fields?: LogFields): void {
    this.#say("info", text, fields);
  }

  detail(text: string, fields?: LogFields): void {
    this.#say("debug", text, fields);
  }

  #say(severity: Severity, text: string, fields?: LogFields): void {
    const level = chosen ?? this.#level;
    if (SEVERITIES.indexOf(severity) > SEVERITIES.indexOf(level)) return;
    writer(severity, this.#name, text, fields);
  }
}

/** An event as fields: its type as `event`, an error as its code and its message. */
export function fieldsOf(event: { readonly type: string }): LogFields {
  const { type, ...rest } = event;
  const fields: Record<string, unknown> = { event: type };
  for (const [name, value] of Object.entries(rest)) {
    if (value instanceof Error) {
      const { code } = value as NodeJS.ErrnoException;
      fields[name] = { ...(code === undefined ? {} : { code }), message: value.message };
    } else fields[name] = value;
  }
  return fields;
}
