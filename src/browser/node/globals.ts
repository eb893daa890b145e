/**
 * The globals of Node.js that shoal uses in pages, except `Buffer`: `process`, and Node's timers over Web timers, with `ref`,
 * `unref`, `refresh` and `setImmediate`.
 *
 * Browsers slow timers of hidden pages to one per second and later per minute, but not MessagePorts, so `setImmediate`
 * uses one.
 */

type Call = (...args: unknown[]) => void;

/** A number, or an object in Node.js and Deno. */
type Handle = number & { ref?(): void; unref?(): void };

interface Platform {
  setTimeout(call: () => void, delay: number): Handle;
  clearTimeout(handle: Handle | undefined): void;
  setImmediate?(call: () => void): unknown;
}

const platform = globalThis as unknown as Platform;

class Timer {
  readonly #call: () => void;
  readonly #delay: number;
  #handle: Handle | undefined;
  #isRef = true;

  constructor(call: () => void, delay: number) {
    this.#call = call;
    this.#delay = delay;
    this.#start();
  }

  #start(): void {
    this.#handle = platform.setTimeout(this.#call, this.#delay);
    if (!this.#isRef) this.#handle.unref?.();
  }

  ref(): this {
    this.#isRef = true;
    this.#handle?.ref?.();
    return this;
  }

  unref(): this {
    this.#isRef = false;
    this.#handle?.unref?.();
    return this;
  }

  refresh(): this {
    this.stop();
    this.#start();
    return this;
  }

  stop(): void {
    platform.clearTimeout(this.#handle);
  }
}

export function setTimeout(call: Call, delay = 1, ...args: unknown[]): Timer {
  return new Timer(args.length === 0 ? (call as () => void) : () => call(...args), delay);
}

export function clearTimeout(timer: Timer | undefined): void {
  timer?.stop();
}

let queue: (() => void)[] = [];
let channel: InstanceType<typeof MessageChannel> | undefined;

/** New entries wait for the next turn. */
function runQueue(): void {
  const calls = queue;
  queue = [];
  for (let i = 0; i < calls.length; i++) {
    try {
      (calls[i] as () => void)();
    } catch (error) {
      // The page gets the error, and other callbacks still run.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

function schedule(): void {
  if (typeof platform.setImmediate === "function") {
    platform.setImmediate(runQueue);
    return;
  }
  if (channel === undefined) {
    channel = new MessageChannel();
    (channel.port1 as unknown as { onmessage: () => void }).onmessage = runQueue;
  }
  channel.port2.postMessage(0);
}

export function setImmediate(call: Call, ...args: unknown[]): void {
  if (queue.length === 0) schedule();
  queue.push(args.length === 0 ? (call as () => void) : () => call(...args));
}

/** The part of `process` that shoal uses in pages. */
export const process = {
  nextTick<A extends unknown[]>(call: (...args: A) => void, ...args: A): void {
    queueMicrotask(args.length === 0 ? (call as () => void) : () => call(...args));
  },

  emitWarning(text: string): void {
    // biome-ignore lint/suspicious/noConsole: a page has no other place for warnings
    console.warn(text);
  },
};
