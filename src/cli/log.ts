/**
 * The log of a command: lines on standard error, or JSON objects. One command runs at a terminal, so level and format are the
 * terminal's, and hold for the command's last error too. Names that peers chose, such as a service's, stay within their line.
 *
 *   2026-03-01T12:00:00.000Z info shoal push: listening at tcp://127.0.0.1:5557     a line of the log
 *   shoal push: no peer came within 1000 ms                                         why the command failed: for its caller
 */
import { printable, type Terminal, terminal } from "./terminal.js";

/** Severities, the most severe first. */
export const SEVERITIES = ["error", "warn", "info", "debug"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** The fields of a line for machines, in addition to its text. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes lines of a command; `command` is its name without `shoal`, empty for the program's own. */
export interface LogWriter {
  line(severity: Severity, command: string, text: string, fields?: LogFields): void;
  /** Why the command failed. */
  failure(command: string, text: string): void;
}

/** Different warnings remembered so that each is logged once: a peer that is refused tries again forever. */
const MAX_REMEMBERED = 100;

interface LogSettings {
  write: LogWriter;
  level: Severity;
}

const SETTINGS = new WeakMap<Terminal, LogSettings>();

function settings(): LogSettings {
  const own = terminal();
  let found = SETTINGS.get(own);
  if (found === undefined) {
    found = { write: textLog(own), level: "info" };
    SETTINGS.set(own, found);
  }
  return found;
}

/** Sets where lines go from now on, and the minimum severity; an absent one stays. */
export function useLog(changes: Partial<LogSettings>): void {
  Object.assign(settings(), changes);
}

/** Logs why a command failed, whatever the level. @param command its name without `shoal` */
export function logFailure(command: string, text: string): void {
  settings().write.failure(command, text);
}

export class Log {
  readonly #name: string;
  readonly #settings = settings();
  readonly #logged = new Set<string>();

  /** @param name of the command, without `shoal` */
  constructor(name: string) {
    this.#name = name;
  }

  error(text: string, fields?: LogFields): void {
    this.#write("error", text, fields);
  }

  /** Logged once, however often it happens. */
  warnOnce(text: string, fields?: LogFields): void {
    if (this.#logged.has(text)) return;
    if (this.#logged.size >= MAX_REMEMBERED) this.#logged.clear();
    this.#logged.add(text);
    this.warn(text, fields);
  }

  warn(text: string, fields?: LogFields): void {
    this.#write("warn", text, fields);
  }

  info(text: string, fields?: LogFields): void {
    this.#write("info", text, fields);
  }

  debug(text: string, fields?: LogFields): void {
    this.#write("debug", text, fields);
  }

  #write(severity: Severity, text: string, fields?: LogFields): void {
    const { level, write } = this.#settings;
    if (SEVERITIES.indexOf(severity) <= SEVERITIES.indexOf(level))
      write.line(severity, this.#name, text, fields);
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

function textLog({ stderr }: Terminal): LogWriter {
  const lineOf = (command: string, text: string): string =>
    `${command === "" ? "shoal" : `shoal ${command}`}: ${printable(text)}\n`;
  return {
    line: (severity, command, text) =>
      void stderr.write(`${new Date().toISOString()} ${severity} ${lineOf(command, text)}`),
    failure: (command, text) => void stderr.write(lineOf(command, text)),
  };
}

/** A writer of JSON lines, by pino, which is loaded here and nowhere else. */
export async function jsonLog(): Promise<LogWriter> {
  const { default: pino } = await import("pino");
  const logger = pino(
    {
      level: "debug", // The severity was checked before.
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    terminal().stderr,
  );
  const line: LogWriter["line"] = (severity, command, text, fields) => {
    logger[severity]({ ...(command === "" ? {} : { command }), ...fields }, text);
  };
  return { line, failure: (command, text) => line("error", command, text) };
}
