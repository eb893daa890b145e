/**
 * The side of a control socket that answers: one command after the other, a reply to each, an error reply to what is not one.
 *
 *   REP    every command has its answer
 *   PAIR   has the answers that `answer` gives
 *   SUB    none
 */
import { Pair } from "../sockets/pair.js";
import { Reply } from "../sockets/request-reply.js";
import type { Socket } from "../sockets/socket.js";
import { errorReply } from "./protocol.js";

/** ms that a reply may take to be accepted; a controller that reads none must not stop the next command. */
const REPLY_TIME = 1_000;

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
        const { reply, after } = await this.#carryOut(frames, answer);
        if (reply !== undefined) await send(socket, reply);
        after?.();
      }
    } catch {
      // The socket closed.
    }
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
  try {
    if (socket instanceof Reply) await socket.send(reply, { timeout: REPLY_TIME });
    else if (socket instanceof Pair) socket.trySend(reply);
  } catch {
    // Nobody waits for it any more, or the socket's owner ends.
  }
}
