/**
 * Inproc names of all threads of a process. Every thread gets each word by a BroadcastChannel; a port goes to one thread,
 * as a `workerMessage`.
 *
 *   bind      claim(name) --> a thread that has the name, or claimed it earlier, objects within CLAIM_TIME
 *             bound(name) --> threads that look for the name seek again
 *
 *   connect   seek(name) --> the thread that has bound it
 *             <== to the seeking thread alone: a MessagePort, both ends of which become streams
 */
import type { BroadcastChannel } from "node:worker_threads";
import { randomId } from "../../../core/bytes.js";
import type { Stream } from "../transport/transport.js";
import { type PortEnd, PortStream } from "./port-stream.js";

const CHANNEL = "shoal.inproc/7";

/** ms for objections to a claim. */
const CLAIM_TIME = 50;

interface Claim {
  readonly id: string;
  readonly name: string;
  /** ns by the process's monotonic clock, which its threads share. */
  readonly at: bigint;
}

type Word =
  | { readonly kind: "hello" | "here" }
  | { readonly kind: "claim"; readonly claim: Claim }
  | { readonly kind: "taken"; readonly id: string }
  | { readonly kind: "bound"; readonly name: string; readonly at: bigint }
  | { readonly kind: "seek"; readonly thread: number; readonly name: string; readonly seek: string };

/** To the thread that seeks. */
interface Reply {
  readonly seek: string;
  readonly end: PortEnd;
}

interface Names {
  has(name: string): boolean;
  /** @param stream to a connecting socket in another thread */
  accept(name: string, stream: Stream): void;
}

interface Seek {
  readonly name: string;
  readonly onFound: (stream: Stream) => void;
}

/** Missing on Bun and Deno, where each thread has its own names. */
export function threadsConnect(): boolean {
  const { postMessageToThread } = process.getBuiltinModule("node:worker_threads");
  return typeof postMessageToThread === "function";
}

export class ThreadNames {
  readonly #names: Names;
  readonly #threads = process.getBuiltinModule("node:worker_threads");
  readonly #channel: BroadcastChannel;
  /** Two copies of this package in one thread share its number. */
  readonly #id = randomId();
  readonly #claims = new Map<string, Claim & { readonly end: (isFree: boolean) => void }>();
  readonly #seeks = new Map<string, Seek>();
  /** Seeks with an open port. A seek may arrive twice: at once, and after an announcement. */
  readonly #given = new Set<string>();
  #hasOthers: boolean;
  #ids = 0;

  constructor(names: Names) {
    const { BroadcastChannel, isMainThread } = this.#threads;
    this.#names = names;
    this.#hasOthers = !isMainThread;
    this.#channel = new BroadcastChannel(CHANNEL);
    this.#channel.onmessage = (event) => this.#channelOnWord((event as { data: Word }).data);
    this.#channel.unref();
    // Other programs may use these messages, too.
    process.on("workerMessage", (value: { readonly [CHANNEL]?: Reply } | null) => {
      const reply = value?.[CHANNEL];
      if (reply !== undefined) this.#replied(reply);
    });
    this.#post({ kind: "hello" });
  }

  /**
   * A thread that computes for CLAIM_TIME does not count. Bind a free name in the turn in which the promise resolves.
   *
   * @returns whether the name is free; `undefined`: there are no other threads
   */
  claim(name: string): Promise<boolean> | undefined {
    if (!this.#hasOthers) return undefined;
    const claim: Claim = { id: this.#nextId(), name, at: process.hrtime.bigint() };
    const { id } = claim;
    return new Promise((resolve) => {
      // Objections may have arrived while this thread was blocked.
      const timer = setTimeout(() => setImmediate(() => this.#claims.get(id)?.end(true)), CLAIM_TIME);
      const end = (isFree: boolean): void => {
        clearTimeout(timer);
        this.#claims.delete(id);
        resolve(isFree);
      };
      this.#claims.set(id, { ...claim, end });
      this.#post({ kind: "claim", claim });
    });
  }

  announce(name: string): void {
    this.#post({ kind: "bound", name, at: process.hrtime.bigint() });
  }

  /** @param onFound called once @returns cancels the seek */
  seek(name: string, onFound: (stream: Stream) => void): () => void {
    const seek = this.#nextId();
    this.#seeks.set(seek, { name, onFound });
    this.#postSeek(seek, name);
    return () => this.#seeks.delete(seek);
  }

  #postSeek(seek: string, name: string): void {
    this.#post({ kind: "seek", thread: this.#threads.threadId, name, seek });
  }

  #channelOnWord(word: Word): void {
    this.#hasOthers = true;
    switch (word.kind) {
      case "hello":
        this.#post({ kind: "here" });
        break;
      case "claim":
        if (this.#names.has(word.claim.name) || this.#precedes(word.claim))
          this.#post({ kind: "taken", id: word.claim.id });
        break;
      case "taken":
        this.#claims.get(word.id)?.end(false);
        break;
      case "bound":
        for (const [seek, { name }] of this.#seeks) if (name === word.name) this.#postSeek(seek, name);
        // By a thread that claimed it later, and did not hear so in time from this one.
        for (const { name, at, end } of [...this.#claims.values()])
          if (name === word.name && at < word.at) end(false);
        break;
      case "seek":
        if (this.#names.has(word.name)) this.#reply(word);
        break;
      default:
    }
  }

  #precedes(other: Claim): boolean {
    for (const { name, at, id } of this.#claims.values())
      if (name === other.name && (at < other.at || (at === other.at && id < other.id))) return true;
    return false;
  }

  #reply({ name, thread, seek }: Extract<Word, { kind: "seek" }>): void {
    if (this.#given.has(seek)) return;
    const { port1, port2 } = new this.#threads.MessageChannel();
    const counts = new Int32Array(new SharedArrayBuffer(8));
    this.#given.add(seek);
    port1.on("close", () => this.#given.delete(seek));
    this.#names.accept(name, new PortStream({ port: port1, counts, own: 0 }, name));
    const value = { [CHANNEL]: { seek, end: { port: port2, counts, own: 1 } } };
    // Another copy of this package in the same thread.
    if (thread === this.#threads.threadId) process.emit("workerMessage", value, thread);
    else this.#threads.postMessageToThread(thread, value, [port2]).catch(() => port1.close()); // The thread has ended.
  }

  /** Replies to other copies of this package in the thread are theirs. */
  #replied({ seek, end }: Reply): void {
    if (seek.split(" ", 1)[0] !== this.#id) return;
    const sought = this.#seeks.get(seek);
    this.#seeks.delete(seek);
    if (sought === undefined) end.port.close();
    else sought.onFound(new PortStream(end, sought.name));
  }

  #post(word: Word): void {
    this.#channel.postMessage(word);
  }

  #nextId(): string {
    this.#ids += 1;
    return `${this.#id} ${this.#ids}`;
  }
}
