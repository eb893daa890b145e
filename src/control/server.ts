/**
 * Control sockets of proxies and cluster nodes: the form of commands and replies, and the server that answers.
 *
 *   {"command":NAME, member: value …}   reply: {"ok":true,…}
 *   anything else                       reply: {"ok":false,"error":{"code","message"}}
 *
 * A command is one frame. Each kind of socket has a table of commands and their members.
 *
 *   REP      one command at a time, each with a reply
 *   PAIR     one at a time, with the replies that `answer` returns
 *   SUB      one at a time, no replies
 *   ROUTER   up to 64 at a time, for commands that wait; each REQ peer gets its reply
 */

import { invalidArgument } from "../core/arguments.js";
import { type ErrorCode, InvalidArgumentError, InvalidStateError, ShoalError } from "../core/errors.js";
import { Envelope } from "../sockets/envelope.js";
import { Pair } from "../sockets/pair.js";
import { Reply, Router } from "../sockets/request-reply.js";
import type { Socket } from "../sockets/socket.js";

/** Timeout of a reply, ms. A silent controller must not block the next command. */
const REPLY_TIME = 1_000;
/** Maximum concurrent commands of a ROUTER; further ones are refused. */
const MAX_WAITING_COMMANDS = 64;
/** Default maximum frame size of a control socket, bytes. */
export const MAX_BYTES = 65_536;

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

export interface ControlAnswer {
  /** Absent: no reply, as libzmq's proxies over PAIR. */
  readonly reply?: Buffer[];
  /** Called once the reply is accepted for sending. */
  readonly after?: () => void;
}

/** Carries out a command; its error becomes the reply. */
type Answer = (frames: readonly Buffer[]) => ControlAnswer | Promise<ControlAnswer>;

export interface ControlCounts {
  readonly commands: number;
  /** Malformed or impossible commands. */
  readonly refused: number;
}

export class ControlServer {
  #commands = 0;
  #refused = 0;
  #waiting = 0;

  counts(): ControlCounts {
    return { commands: this.#commands, refused: this.#refused };
  }

  /** Takes commands until the socket closes. Never rejects. */
  async run(socket: Socket, answer: Answer): Promise<void> {
    try {
      for await (const frames of socket as unknown as AsyncIterable<Buffer[]>) {
        if (socket instanceof Router) {
          void this.#answerPeer(socket, frames, answer);
          continue;
        }
        const { reply, after } = await this.#carryOut(frames, answer);
        if (reply !== undefined) await send(socket, reply);
        after?.();
      }
    } catch {
      // The socket closed.
    }
  }

  /** Peers lose unread replies: the high-water mark bounds them. */
  async #answerPeer(socket: Router, frames: readonly Buffer[], answer: Answer): Promise<void> {
    const { envelope, body } = Envelope.parse(frames);
    const isBusy = this.#waiting >= MAX_WAITING_COMMANDS;
    this.#waiting += 1;
    const { reply, after } = await this.#carryOut(body as Buffer[], isBusy ? refuseBusy : answer);
    this.#waiting -= 1;
    if (reply !== undefined)
      await sendOrRefuse(reply, (frames) =>
        socket.tryDeliver(envelope.wrap(frames) as [Buffer, ...Buffer[]]),
      );
    after?.();
  }

  async #carryOut(frames: readonly Buffer[], answer: Answer): Promise<ControlAnswer> {
    try {
      const given = await answer(frames);
      this.#commands += 1;
      return given;
    } catch (error) {
      this.#refused += 1;
      return { reply: errorReply(error) };
    }
  }
}

async function send(socket: Socket, reply: Buffer[]): Promise<void> {
  if (socket instanceof Reply)
    await sendOrRefuse(reply, (frames) => socket.send(frames, { timeout: REPLY_TIME }));
  else if (socket instanceof Pair) await sendOrRefuse(reply, (frames) => socket.trySend(frames));
}

/**
 * Sends a reply, or the socket's reason to refuse it: too many bytes for the context. A REP without a reply takes no
 * further command and blocks its controllers. So an empty frame goes if the error is too large as well.
 */
async function sendOrRefuse(reply: Buffer[], put: (frames: Buffer[]) => unknown): Promise<void> {
  try {
    await put(reply);
  } catch (error) {
    for (const instead of [errorReply(error), [Buffer.alloc(0)]]) {
      try {
        await put(instead);
        return;
      } catch {
        // The error is too large as well, the requester has left, or the socket is closing.
      }
    }
  }
}

function refuseBusy(): never {
  throw new InvalidStateError(
    "ERR_TOO_MANY_PENDING",
    `${MAX_WAITING_COMMANDS} commands wait for their results: try again`,
  );
}
