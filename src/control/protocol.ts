/**
 * Commands and replies of control sockets, for proxies and cluster nodes. Pure.
 *
 *   {"command":NAME, member: value …}   reply: {"ok":true,…}
 *   anything else                       reply: {"ok":false,"error":{"code","message"}}
 *
 * A command is one frame. Each kind of socket has a table of commands and their members.
 */
import { invalidArgument } from "../core/arguments.js";
import { type ErrorCode, InvalidArgumentError, ShoalError } from "../core/errors.js";

/** A member of a command, apart from `command`. */
export interface CommandMember {
  readonly required?: boolean;
  /** Completes "NAME must be …" in the error for a refused value. */
  readonly expected: string;
  accepts(value: unknown): boolean;
}

export type CommandTable = Readonly<Record<string, Readonly<Record<string, CommandMember>>>>;

export interface ParsedCommand<N extends string> {
  readonly name: N;
  readonly members: Readonly<Record<string, unknown>>;
}

/** The text of a command. @param maxBytes of the frame @throws InvalidArgumentError `EINVAL` */
export function commandText(frames: readonly Buffer[], maxBytes: number): string {
  const [frame] = frames;
  if (frame === undefined || frames.length !== 1)
    throw new InvalidArgumentError(`expected one frame; got ${frames.length}`);
  if (frame.length > maxBytes)
    throw new InvalidArgumentError(`expected at most ${maxBytes} bytes; got ${frame.length}`);
  return frame.toString("utf8");
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The caller refuses it with a better message.
  }
}

/** @param value parsed JSON @throws InvalidArgumentError `EINVAL` naming the expected value */
export function parseCommand<T extends CommandTable>(
  value: unknown,
  table: T,
): ParsedCommand<keyof T & string> {
  const names = Object.keys(table);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new InvalidArgumentError(`expected an object such as {"command":"${names[0]}"}`);
  const { command, ...members } = value as Record<string, unknown>;
  if (typeof command !== "string" || !Object.hasOwn(table, command))
    throw new InvalidArgumentError(`expected a command of ${names.join(", ")}`);
  const known = table[command] as Readonly<Record<string, CommandMember>>;
  for (const name of Object.keys(members)) {
    if (!Object.hasOwn(known, name))
      throw new InvalidArgumentError(`${command} has no member ${JSON.stringify(name.slice(0, 40))}`);
  }
  for (const [name, { required, expected, accepts }] of Object.entries(known)) {
    const given = members[name];
    if (given === undefined ? required === true : !accepts(given))
      throw invalidArgument(`${name} must be ${expected}`, given);
  }
  return { name: command, members };
}

export function jsonReply(result: object): Buffer[] {
  return [Buffer.from(JSON.stringify({ ok: true, ...result }))];
}

export function errorReply(error: unknown): Buffer[] {
  const code: ErrorCode = error instanceof ShoalError ? error.code : "EINVAL";
  const message = error instanceof Error ? error.message : String(error);
  return [Buffer.from(JSON.stringify({ ok: false, error: { code, message } }))];
}
