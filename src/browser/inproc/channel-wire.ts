/**
 * How words and messages get from one page or worker of an origin to the others: on BroadcastChannels. One is for the words
 * of all (engine/zmtp/threads/thread-names.ts); each connection has one of its own, since a MessagePort cannot be handed over on
 * them. The build puts it in the place of engine/zmtp/threads/node-threads.ts (rolldown.config.js).
 *
 * A channel does not say that its other end is gone. So each end holds a lock (Web Locks) as long as it lives, and asks for
 * that of the other: the end that gets it knows.
 *
 *   bound side       lock A held, description -->
 *   connecting side                           lock B held, ready -->  asks for A
 *   bound side       asks for B
 */
import { NotSupportedError } from "../../core/errors.js";

import type { ThreadWire, ThreadWord } from "../../engine/zmtp/threads/thread-names.js";
import type { Description, MessagePortLike } from "../../engine/zmtp/threads/thread-port.js";
import { randomId } from "../random.js";

/** With the version of the words. */
const PREFIX = "shoal.inproc/2/";
/** ms for which the other side of a handover may take to answer. */
const READY_TIMEOUT = 5_000;
/** ms for which messages of an end that is gone may still be on their way. */
const LAST_MESSAGES = 500;

/** What is not a message of the connection. */
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

/** @throws NotSupportedError `NOT_SUPPORTED` where the platform lacks what it needs */
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

/** Names that sockets of this page or worker have bound: what gives up the lock of each. */
const heldNames = new Map<string, () => void>();

/** @returns whether the name was free; it is held then, until it is released or this page or worker is gone */
export function holdName(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { locks } = parts();
    locks
      .request(`${PREFIX}${channelName}/name/${name}`, { ifAvailable: true }, (lock) => {
        resolve(lock !== null);
        if (lock === null) return undefined;
        return new Promise<void>((release) => heldNames.set(name, release));
      })
      // A page that is being left gets no locks.
      .catch(() => resolve(false));
  });
}

export function releaseName(name: string): void {
  heldNames.get(name)?.();
  heldNames.delete(name);
}

/** One end of a connection, as a MessagePort that copies. */
class ChannelPort implements MessagePortLike {
  onmessage: ((event: { readonly data: unknown }) => void) | null = null;
  onmessageerror: ((event: unknown) => void) | null = null;
  readonly #place: string;
  readonly #side: string;
  readonly #channel: Channel;
  readonly #ended = new AbortController();
  #onClose: () => void = () => undefined;
  /** Until this end's lock is held: what is posted meanwhile. */
  #waiting: unknown[] | undefined = [];
  #release: () => void = () => undefined;
  #isOver = false;

  /** @param first is posted before all else */
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

  /** The other side holds its lock: this one learns when it is gone. */
  watch(): void {
    this.#lock(this.#side === "A" ? "B" : "A", () => {
      setTimeout(() => this.#gone(), LAST_MESSAGES);
      return undefined;
    });
  }

  #lock(side: string, granted: () => Promise<void> | undefined): void {
    const { signal } = this.#ended;
    const asked = parts().locks.request(`${this.#place}/${side}`, { signal }, () => granted());
    // Aborted: this end is over.
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

  /** Nothing stands still in a page. */
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
