/**
 * A query over bare sockets: some bytes to each of many sockets, and the same back. A query of as many services
 * cannot be faster.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { Latencies } from "./histogram.js";
import type { Side } from "./side.js";

/** Bytes of a question and of its answer: about as many as in a query. */
const FLOOR_BYTES = 64;
const NANOSECONDS = 1e6;

/** The asking end. */
export class Floor {
  readonly #server = createServer((socket) => this.#add(socket));
  readonly #sockets: Socket[] = [];
  readonly #question = Buffer.alloc(FLOOR_BYTES);
  #left = 0;
  #answered: (() => void) | undefined = undefined;

  async listen(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return String((this.#server.address() as AddressInfo).port);
  }

  get size(): number {
    return this.#sockets.length;
  }

  #add(socket: Socket): void {
    socket.setNoDelay(true).on("data", () => {
      this.#left -= 1;
      if (this.#left === 0) this.#answered?.();
    });
    this.#sockets.push(socket);
  }

  /** @returns ms until all have answered */
  ask(): Promise<number> {
    return this.#ask(this.#sockets);
  }

  /** @returns ms of the slowest one, each asked alone */
  async slowest(): Promise<number> {
    let slowest = 0;
    for (const socket of this.#sockets) slowest = Math.max(slowest, await this.#ask([socket]));
    return slowest;
  }

  async #ask(sockets: readonly Socket[]): Promise<number> {
    const from = performance.now();
    this.#left = sockets.length;
    const all = new Promise<void>((resolve) => {
      this.#answered = resolve;
    });
    for (const socket of sockets) socket.write(this.#question);
    await all;
    return performance.now() - from;
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

/** The answering end. */
export function answerFloor(socket: Socket): Socket {
  return socket
    .setNoDelay(true)
    .on("data", (question) => socket.write(question))
    .on("error", () => undefined);
}

/**
 * Asks as often as the side requires, and records the counted times.
 * @param ask returns ms
 */
export async function timesOf(side: Side, ask: () => Promise<number>): Promise<Latencies> {
  for (let k = 0; k < side.warmup; k++) await ask();
  const latencies = new Latencies();
  side.begin();
  for (let k = 0; k < side.count; k++) latencies.record((await ask()) * NANOSECONDS);
  side.end();
  return latencies;
}

/**
 * Measures from the first counted question to the last one, for all that answer in this process.
 *
 * @returns a function to call at each question
 */
export function questionsTo(answering: number, side: Side): () => void {
  const first = answering * side.warmup;
  const last = answering * (side.warmup + side.count);
  let asked = 0;
  return () => {
    if (asked === first) side.begin();
    asked += 1;
    // Ends after this question is answered, too.
    if (asked === last) setImmediate(() => side.end());
  };
}
