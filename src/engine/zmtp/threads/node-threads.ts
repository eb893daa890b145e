/**
 * Carries words and ports between threads of Node.js (thread-names.ts) on a BroadcastChannel. Only the port
 * beneath it, which Bun and Deno lack, can transfer a MessagePort, to exactly one listening thread. So each
 * handover has a separate channel.
 */
import type { BroadcastChannel } from "node:worker_threads";
import { portBeneath } from "../../../core/node-internals.js";
import { randomId } from "../../../core/random.js";
import { LOOK_INTERVAL, type ThreadWire, type ThreadWord } from "./thread-names.js";
import type { Description, MessagePortLike } from "./thread-port.js";

const CHANNEL = "shoal.inproc/3";

interface Handover {
  readonly port: MessagePortLike;
  readonly description: unknown;
}

export class NodeThreads implements ThreadWire {
  readonly handsOver: boolean;
  readonly thread: number;
  readonly mayHaveOthers: boolean;
  readonly #threads = process.getBuiltinModule("node:worker_threads");
  readonly #channel: BroadcastChannel;
  readonly #onWord: (word: ThreadWord) => void;
  /** May run code of the program; received while the thread was paused. */
  readonly #later: ThreadWord[] = [];

  constructor(onWord: (word: ThreadWord) => void) {
    this.#onWord = onWord;
    const { BroadcastChannel, isMainThread, threadId } = this.#threads;
    this.thread = threadId;
    this.mayHaveOthers = !isMainThread;
    const channel = new BroadcastChannel(CHANNEL);
    this.#channel = channel;
    channel.onmessage = (event) => {
      this.#handleLater();
      onWord((event as { data: ThreadWord }).data);
    };
    channel.unref();
    this.handsOver = portBeneath(channel) !== undefined;
  }

  post(word: ThreadWord): void {
    this.#channel.postMessage(word);
  }

  receive(place: string, onPort: (port: MessagePortLike, description: unknown) => void): () => void {
    const channel = new this.#threads.BroadcastChannel(place);
    channel.onmessage = (event) => {
      const { port, description } = (event as { data: Handover }).data;
      channel.close();
      onPort(port, description);
    };
    channel.unref();
    return () => channel.close();
  }

  handOver(place: string, description: Description): MessagePortLike | undefined {
    const channel = new this.#threads.BroadcastChannel(place);
    const { port1, port2 } = new this.#threads.MessageChannel();
    try {
      const handover = { port: port2, description };
      // Fails unless exactly one thread listens.
      if (portBeneath(channel)?.postMessage(handover, [port2]) === true)
        return port1 as unknown as MessagePortLike;
    } finally {
      channel.close();
    }
    port1.close();
    return undefined;
  }

  standStill(memory: Int32Array, seen: number, ms: number): void {
    // Another paused thread may need this one's answer.
    Atomics.wait(memory, 0, seen, Math.min(ms, LOOK_INTERVAL));
    for (;;) {
      const received = this.#takeWord();
      if (received === undefined) return;
      const word = received.message as ThreadWord;
      if (word.kind === "ask" || word.kind === "hello" || word.kind === "here") this.#onWord(word);
      else if (this.#later.push(word) === 1) setImmediate(() => this.#handleLater());
    }
  }

  /** Deno delivers words only as events. */
  #takeWord(): { message: unknown } | undefined {
    if (process.versions.deno !== undefined) return undefined;
    return this.#threads.receiveMessageOnPort(this.#channel as never);
  }

  now(): number {
    return performance.now();
  }

  setTimer(onTime: () => void, ms: number, holds = false): () => void {
    const timer = setTimeout(onTime, ms);
    if (!holds) timer.unref();
    return () => clearTimeout(timer);
  }

  newId(): string {
    return randomId();
  }

  #handleLater(): void {
    for (const word of this.#later.splice(0)) this.#onWord(word);
  }
}
