/**
 * The log of a command: text or JSON lines on standard error. Format and level belong to the terminal. Names
 * chosen by peers cannot add lines.
 *
 *   2026-03-01T12:00:00.000Z info shoal push: listening at tcp://127.0.0.1:5557     log
 *   shoal push: no peer came within 1000 ms                                         failure of the command
 */
import { hostname } from "node:os";
import { printable, type Terminal, terminal } from "./terminal.js";

/** From the most severe. */
export const SEVERITIES = ["error", "warn", "info", "debug"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Fields for machines, next to the text. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Remembered warnings: a refused peer retries forever. */
const MAX_REMEMBERED = 100;

interface LogSettings {
  /** The least severe that is logged. */
  level: Severity;
  isJson: boolean;
}

const SETTINGS = new WeakMap<Terminal, LogSettings>();

function settings(): LogSettings & Pick<Terminal, "stderr"> {
  const own = terminal();
  const { level = "info", isJson = false } = SETTINGS.get(own) ?? {};
  return { level, isJson, stderr: own.stderr };
}

/** For logs that are made later. */
export function useLog(own: LogSettings): void {
  SETTINGS.set(terminal(), own);
}

/** Logs a failure at any level. @param command name without `shoal` */
export function logFailure(command: string, text: string): void {
  const { isJson, stderr } = settings();
  stderr.write(isJson ? jsonLine("error", command, text) : textLine(command, text));
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
    this.write("error", text, fields);
  }

  /** @param key what must not repeat; default: the text */
  warnOnce(text: string, fields?: LogFields, key = text): void {
    if (this.#logged.has(key)) return;
    if (this.#logged.size >= MAX_REMEMBERED) this.#logged.clear();
    this.#logged.add(key);
    this.warn(text, fields);
  }

  warn(text: string, fields?: LogFields): void {
    this.write("warn", text, fields);
  }

  info(text: string, fields?: LogFields): void {
    this.write("info", text, fields);
  }

  debug(text: string, fields?: LogFields): void {
    this.write("debug", text, fields);
  }

  write(severity: Severity, text: string, fields?: LogFields): void {
    const { level, isJson, stderr } = this.#settings;
    if (SEVERITIES.indexOf(severity) > SEVERITIES.indexOf(level)) return;
    const line = isJson
      ? jsonLine(severity, this.#name, text, fields)
      : `${new Date().toISOString()} ${severity} ${textLine(this.#name, text)}`;
    stderr.write(line);
  }
}

/** An event as fields: `event` is its type, errors have code and message. */
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

function textLine(command: string, text: string): string {
  return `${command === "" ? "shoal" : `shoal ${command}`}: ${printable(text)}\n`;
}

/** A JSON line with the members of pino's, which collectors of logs know. */
function jsonLine(level: Severity, command: string, text: string, fields: LogFields = {}): string {
  const time = new Date().toISOString();
  const always = { level, time, pid: process.pid, hostname: hostname() };
  const of = command === "" ? {} : { command };
  return `${JSON.stringify({ ...always, ...of, ...fields, msg: text })}\n`;
}
