/**
 * The side of a control socket that answers: a reply to each command, an error reply to what is not one.
 *
 *   REP      one command after the other, each has its answer
 *   PAIR     one after the other, with the answers that `answer` gives
 *   SUB      one after the other, no answers
 *   ROUTER   up to 64 at a time, for commands that wait; each REQ, REP's other end, has its answer
 */

import { InvalidStateError } from "../core/errors.js";
import { Envelope } from "../sockets/envelope.js";
import { Pair } from "../sockets/pair.js";
import { Reply, Router } from "../sockets/request-reply.js";
import type { Socket } from "../sockets/socket.js";
import { errorReply } from "./protocol.js";

/** ms that a reply may take to be accepted; a controller that reads none must not stop the next command. */
const REPLY_TIME = 1_000;

/** Commands of a ROUTER that wait for their results at a time; a further one is refused. */
const MAX_WAITING_COMMANDS = 64;

/** Bytes of the largest frame that a control socket takes, unless its options have another limit. */
export const MAX_BYTES = 65_536;

/** What comes of a command. */
export interface ControlAnswer {
  /** Absent: there is none, as libzmq's proxies have none over PAIR. */
  readonly reply?: Buffer[];
  /** What is done when the reply is on its way. */
  readonly after?: () => void;
}

/** Commands of a control socket since its start. */
export interface ControlCounts {
  /** Carried out. */
  readonly commands: number;
  /** Not understood, or not possible. */
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
   * Takes commands until the socket closes; never rejects.
   *
   * @param answer carries a command out; what it throws is the reply's error
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

  /** A peer that does not read its replies loses them: the socket's high-water mark bounds what waits for it. */
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
 * Sends a reply, or why the socket refuses it: one with more bytes than the context allows. A REP without a reply takes no
 * further command, and its controllers would wait forever; so an empty frame goes where the error is too large as well.
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
        // Too large as well; or nobody waits for it any more, or the socket's owner ends.
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
