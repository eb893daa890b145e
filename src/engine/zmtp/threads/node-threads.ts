/** Carries words between threads of Node.js on a BroadcastChannel, and ports to one thread as a `workerMessage`. */
import type { BroadcastChannel } from "node:worker_threads";
import { randomId } from "../../../core/bytes.js";
import { InprocNames } from "../inproc-names.js";
import { ZAP_ENDPOINT } from "../zap.js";
import { ThreadNames, type ThreadReply, type ThreadWire, type ThreadWord } from "./thread-names.js";

const CHANNEL = "shoal.inproc/5";

interface Handlers {
  onWord(word: ThreadWord): void;
  onReply(reply: ThreadReply): void;
}

/** Missing on Bun and Deno, where each thread has its own names. */
export function threadsConnect(): boolean {
  const { postMessageToThread } = process.getBuiltinModule("node:worker_threads");
  return typeof postMessageToThread === "function";
}

export class NodeThreads implements ThreadWire {
  readonly id = randomId();
  readonly thread: number;
  readonly mayHaveOthers: boolean;
  readonly #threads = process.getBuiltinModule("node:worker_threads");
  readonly #channel: BroadcastChannel;

  constructor(handlers: Handlers) {
    const { BroadcastChannel, isMainThread, threadId } = this.#threads;
    this.thread = threadId;
    this.mayHaveOthers = !isMainThread;
    this.#channel = new BroadcastChannel(CHANNEL);
    this.#channel.onmessage = (event) => handlers.onWord((event as { data: ThreadWord }).data);
    this.#channel.unref();
    // Other programs may use these messages, too.
    process.on("workerMessage", (value: { readonly [CHANNEL]?: ThreadReply } | null) => {
      const reply = value?.[CHANNEL];
      if (reply !== undefined) handlers.onReply(reply);
    });
  }

  post(word: ThreadWord): void {
    this.#channel.postMessage(word);
  }

  reply(thread: number, reply: ThreadReply, onFailed: () => void): void {
    const { port } = reply;
    const value = { [CHANNEL]: reply };
    // Another copy of this package in the same thread.
    if (thread === this.thread) process.emit("workerMessage", value, thread);
    else
      this.#threads
        .postMessageToThread(thread, value, port === undefined ? [] : [port as never])
        .catch(onFailed);
  }
}

/** The inproc names of the process-wide context, which all threads share. */
export class SharedNames<C = unknown> extends InprocNames<C> {
  #threads: ThreadNames | undefined = undefined;

  /** Each thread authenticates its own peers. */
  protected override threadsOf(name: string): ThreadNames | undefined {
    if (name === ZAP_ENDPOINT || !threadsConnect()) return undefined;
    if (this.#threads !== undefined) return this.#threads;
    const wire = new NodeThreads({
      onWord: (word) => threads.receive(word),
      onReply: (reply) => threads.replied(reply),
    });
    const threads = new ThreadNames(wire, {
      isBound: (name) => this.bound.has(name) && name !== ZAP_ENDPOINT,
      sought: (name, socket) => this.bound.get(name)?.inprocOnSeek?.(name, socket),
    });
    this.#threads = threads;
    return threads;
  }
}
