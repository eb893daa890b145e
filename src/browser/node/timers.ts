/**
 * Node's timers over those of the Web platform, whose handles are numbers: `ref`, `unref` and `refresh`, and `setImmediate`.
 *
 * Browsers slow the timers of a page that nobody sees down, to one a second and later one a minute. Messages of a MessagePort
 * are not slowed down, so `setImmediate` is one.
 */

type Call = (...args: unknown[]) => void;

/** A handle of this platform's: a number, or, in Node.js and Deno, perhaps an object. */
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

export function setInterval(call: Call, delay = 1, ...args: unknown[]): Timer {
  const timer = setTimeout(() => {
    timer.refresh();
    call(...args);
  }, delay);
  return timer;
}

export function clearTimeout(timer: Timer | undefined): void {
  timer?.stop();
}

export const clearInterval: typeof clearTimeout = clearTimeout;

let queue: (() => void)[] = [];
let channel: InstanceType<typeof MessageChannel> | undefined;

/** What was queued when the turn began; what it queues is for the next. */
function runQueue(): void {
  const calls = queue;
  queue = [];
  for (let i = 0; i < calls.length; i++) {
    try {
      (calls[i] as () => void)();
    } catch (error) {
      // The others go on, and the page hears of it.
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
