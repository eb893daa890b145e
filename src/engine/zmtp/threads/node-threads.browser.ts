/**
 * Inproc between pages and workers of an origin, over BroadcastChannels: one for names and one per
 * connection, since they cannot transfer a MessagePort. Replaces node-threads.ts.
 *
 * Channels do not report a closed peer. So each end holds a Web Lock while it lives and requests the other
 * end's.
 *
 *   bound side       lock A held, description -->
 *   connecting side                           lock B held, ready -->  asks for A
 *   bound side       asks for B
 */
import { NotSupportedError } from "../../../core/errors.js";
import { randomId } from "../../../core/random.browser.js";
import type { ThreadWire, ThreadWord } from "./thread-names.js";
import type { Description, MessagePortLike } from "./thread-port.js";

/** Includes the protocol version. */
const PREFIX = "shoal.inproc/2/";
/** ms for the other side's answer. */
const READY_TIMEOUT = 5_000;
/** ms in which messages of a closed peer may still arrive. */
const LAST_MESSAGES = 500;

const READY = "ready";
const BYE = "bye";

interface Channel {
  onmessage: ((event: { readonly data: unknown }) => void) | null;
  onmessageerror: ((event: unknown) => void) | null;
  postMessage(message: unknown): void;
  close(): void;
  unref?(): void;
}

interface Locks {
  request(
    name: string,
    options: { readonly signal?: AbortSignal; readonly ifAvailable?: boolean },
    granted: (lock: object | null) => Promise<void> | undefined,
  ): Promise<unknown>;
}

interface Platform {
  readonly BroadcastChannel?: new (name: string) => Channel;
  readonly navigator?: { readonly locks?: Locks };
}

let channelName: string | undefined;

export function sharedChannel(): string | undefined {
  return channelName;
}

/** @throws NotSupportedError `NOT_SUPPORTED` without BroadcastChannel or Web Locks */
export function setChannel(name: string | undefined): void {
  if (name !== undefined) parts();
  channelName = name;
}

function parts(): { readonly locks: Locks; open(name: string): Channel } {
  const { BroadcastChannel, navigator } = globalThis as unknown as Platform;
  const locks = navigator?.locks;
  if (BroadcastChannel === undefined || locks === undefined)
    throw new NotSupportedError(
      "A channel of inproc needs BroadcastChannel and Web Locks; a page has them from https or localhost",
    );
  return {
    locks,
    open(name) {
      const channel = new BroadcastChannel(name);
      channel.unref?.();
      return channel;
    },
  };
}

const heldNames = new Map<string, () => void>();

/** @returns whether the name was free; it is then held until its release, or this page's or worker's end */
export function holdName(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { locks } = parts();
    locks
      .request(`${PREFIX}${channelName}/name/${name}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        if (lock === null) return undefined;
        return new Promise<void>((release) => heldNames.set(name, release));
      })
      // A page gets no locks while it unloads.
      .catch(() => resolve(false));
  });
}

export function releaseName(name: string): void {
  heldNames.get(name)?.();
  heldNames.delete(name);
}

class ChannelPort implements MessagePortLike {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onmessageerror: ((event: unknown) => void) | null = null;
  readonly #place: string;
  readonly #side: string;
  readonly #channel: Channel;
  readonly #ended = new AbortController();
  #onClose: () => void = () => undefined;
  /** Posted before this end holds its lock. */
  #waiting: unknown[] | undefined = [];
  #release: () => void = () => undefined;
  #isOver = false;

  constructor(place: string, side: "A" | "B", channel: Channel, first: unknown) {
    this.#place = place;
    this.#side = side;
    this.#channel = channel;
    const held = new Promise<void>((resolve) => {
      this.#release = resolve;
    });
    this.#lock(side, () => {
      const waiting = this.#waiting ?? [];
      this.#waiting = undefined;
      for (const each of [first, ...waiting]) channel.postMessage(each);
      if (this.#isOver) this.#end();
      return held;
    });
    const timer = side === "A" ? setTimeout(() => this.#gone(), READY_TIMEOUT) : undefined;
    channel.onmessage = ({ data }) => {
      if (data === READY) {
        clearTimeout(timer);
        this.watch();
      } else if (data === BYE) this.#gone();
      else if (!this.#isOver) this.onmessage?.({ data });
    };
    channel.onmessageerror = (event) => this.onmessageerror?.(event);
  }

  /** The other side holds its lock now. */
  watch(): void {
    this.#lock(this.#side === "A" ? "B" : "A", () => {
      setTimeout(() => this.#gone(), LAST_MESSAGES);
      return undefined;
    });
  }

  #lock(side: string, granted: () => Promise<void> | undefined): void {
    const { signal } = this.#ended;
    const asked = parts().locks.request(`${this.#place}/${side}`, { signal }, () => granted());
    // This end has closed.
    asked.catch(() => undefined);
  }

  postMessage(message: unknown): void {
    if (this.#isOver) return;
    if (this.#waiting === undefined) this.#channel.postMessage(message);
    else this.#waiting.push(message);
  }

  addEventListener(_: "close", listener: () => void): void {
    this.#onClose = listener;
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#waiting === undefined) this.#end();
  }

  #end(): void {
    this.#channel.postMessage(BYE);
    this.#channel.close();
    this.#ended.abort();
    this.#release();
  }

  #gone(): void {
    if (this.#isOver) return;
    this.close();
    this.#onClose();
  }
}

export class NodeThreads implements ThreadWire {
  readonly handsOver = true;
  readonly thread: number = 0;
  readonly mayHaveOthers = false;
  readonly #prefix: string;
  readonly #words: Channel;

  constructor(onWord: (word: ThreadWord) => void) {
    this.#prefix = `${PREFIX}${channelName}`;
    this.#words = parts().open(this.#prefix);
    // Any script of the origin can post here.
    this.#words.onmessage = ({ data }) => {
      if (typeof data === "object" && data !== null) onWord(data as ThreadWord);
    };
  }

  post(word: ThreadWord): void {
    this.#words.postMessage(word);
  }

  receive(place: string, onPort: (port: MessagePortLike, description: unknown) => void): () => void {
    const name = `${this.#prefix}/${place}`;
    const channel = parts().open(name);
    let taken = false;
    channel.onmessage = ({ data }) => {
      taken = true;
      const port = new ChannelPort(name, "B", channel, READY);
      port.watch();
      onPort(port, data);
    };
    return () => {
      if (!taken) channel.close();
    };
  }

  handOver(place: string, description: Description): MessagePortLike {
    const name = `${this.#prefix}/${place}`;
    return new ChannelPort(name, "A", parts().open(name), description);
  }

  standStill(): void {}

  now(): number {
    return performance.now();
  }

  setTimer(onTime: () => void, ms: number): () => void {
    const timer = setTimeout(onTime, ms).unref();
    return () => clearTimeout(timer);
  }

  newId(): string {
    return randomId();
  }
}
