/**
 * Answers the commands of a control socket; anything else gets an error reply.
 *
 *   REP      one command at a time, each with a reply
 *   PAIR     one at a time, with the replies that `answer` returns
 *   SUB      one at a time, no replies
 *   ROUTER   up to 64 at a time, for commands that wait; each REQ peer gets its reply
 */

import { InvalidStateError } from "../core/errors.js";
import { Envelope } from "../sockets/envelope.js";
import { Pair } from "../sockets/pair.js";
import { Reply, Router } from "../sockets/request-reply.js";
import type { Socket } from "../sockets/socket.js";
import { errorReply } from "./protocol.js";

/** Timeout of a reply, ms. A silent controller must not block the next command. */
const REPLY_TIME = 1_000;

/** Maximum concurrent commands of a ROUTER; further ones are refused. */
const MAX_WAITING_COMMANDS = 64;

/** Default maximum frame size of a control socket, bytes. */
export const MAX_BYTES = 65_536;

export interface ControlAnswer {
  /** Absent: no reply, as libzmq's proxies over PAIR. */
  readonly reply?: Buffer[];
  /** Called once the reply is accepted for sending. */
  readonly after?: () => void;
}

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

  /**
   * Takes commands until the socket closes. Never rejects.
   *
   * @param answer carries out a command; its error becomes the reply
   */
  async run(
    socket: Socket,
    answer: (frames: readonly Buffer[]) => ControlAnswer | Promise<ControlAnswer>,
  ): Promise<void> {
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
  async #answerPeer(
    socket: Router,
    frames: readonly Buffer[],
    answer: (frames: readonly Buffer[]) => ControlAnswer | Promise<ControlAnswer>,
  ): Promise<void> {
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

  async #carryOut(
    frames: readonly Buffer[],
    answer: (frames: readonly Buffer[]) => ControlAnswer | Promise<ControlAnswer>,
  ): Promise<ControlAnswer> {
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
