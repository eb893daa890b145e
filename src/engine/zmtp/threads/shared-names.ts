/** The inproc names of the process-wide context, which all threads share. */
import { InprocNames, inUse } from "../inproc-names.js";
import { ZAP_ENDPOINT } from "../zap.js";
import { NodeThreads, threadsConnect } from "./node-threads.js";
import { ThreadNames, type ThreadReply } from "./thread-names.js";

export class SharedNames<C = unknown> extends InprocNames<C> {
  #threads: ThreadNames | undefined = undefined;

  /** Each thread authenticates its own peers. */
  #threadsOf(name: string): ThreadNames | undefined {
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

  override assertFree(name: string): void {
    if (this.#othersToAsk(name)?.isTaken(name) === true) throw inUse(name, ", by another thread");
  }

  override claim(name: string): Promise<void> | undefined {
    return this.#othersToAsk(name)
      ?.ask(name)
      .then((taken) => {
        if (taken) throw inUse(name, ", by another thread");
      });
  }

  #othersToAsk(name: string): ThreadNames | undefined {
    super.assertFree(name);
    const threads = this.#threadsOf(name);
    if (threads?.isAsking(name) === true) throw inUse(name, "");
    return threads?.hasOthers === true ? threads : undefined;
  }

  override announce(name: string): void {
    this.#threadsOf(name)?.announce(name);
  }

  override seek(
    name: string,
    describe: () => unknown,
    onReply: (reply: ThreadReply) => void,
    now: boolean,
  ): (() => void) | undefined {
    return this.#threadsOf(name)?.seek(name, describe, onReply, now);
  }
}
