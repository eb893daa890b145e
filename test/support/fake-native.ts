/** The parts of the native package that the libzmq adapter leans on, without the addon. */
import type { Native, NativeEvent, NativeObserver, NativeSocket } from "../../src/engine/libzmq/native.js";

/** An error as the package throws it. */
export function nativeError(code: string, message = code): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code });
}

interface Wait<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Receives and sends as a native socket does, one read and one wait for room at a time. */
export class FakeNativeSocket implements NativeSocket {
  receiveTimeout = 0;
  sendTimeout = 0;
  linger = -1;
  closed = false;
  lastEndpoint: string | null = null;
  /** Messages that lie ready. */
  readonly queue: Buffer[][] = [];
  /** What was sent and taken. */
  readonly sent: unknown[] = [];
  room = 0;
  /** What the next `bindSync` or `disconnect` throws. */
  failures: Error[] = [];
  #read: Wait<Buffer[]> | undefined;
  #room: Wait<void> | undefined;

  get readable(): boolean {
    return this.queue.length > 0;
  }

  get writable(): boolean {
    return this.room > 0;
  }

  get waitsForRoom(): boolean {
    return this.#room !== undefined;
  }

  receive(): Promise<Buffer[]> {
    if (this.#read !== undefined) return Promise.reject(nativeError("EBUSY"));
    const message = this.queue.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.receiveTimeout === 0) return Promise.reject(nativeError("EAGAIN"));
    return new Promise((resolve, reject) => {
      this.#read = { resolve, reject };
    });
  }

  send(message: unknown): Promise<void> {
    if (Array.isArray(message) && message.length === 0) {
      if (this.room > 0) return Promise.resolve();
      return new Promise((resolve, reject) => {
        this.#room = { resolve, reject };
      });
    }
    if (this.room <= 0) return Promise.reject(nativeError("EAGAIN"));
    this.room -= 1;
    this.sent.push(message);
    return Promise.resolve();
  }

  arrive(...messages: Buffer[][]): void {
    this.queue.push(...messages);
    const read = this.#read;
    const message = read === undefined ? undefined : this.queue.shift();
    if (read === undefined || message === undefined) return;
    this.#read = undefined;
    read.resolve(message);
  }

  makeRoom(messages: number): void {
    this.room = messages;
    const wait = this.#room;
    this.#room = undefined;
    wait?.resolve();
  }

  /** The time-out of whatever waits runs out. */
  endSlice(): void {
    const waits = [this.#read, this.#room];
    this.#read = undefined;
    this.#room = undefined;
    for (const wait of waits) wait?.reject(nativeError("EAGAIN"));
  }

  bindSync(address: string): void {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    this.lastEndpoint = address.replace("*", "5555");
  }

  disconnect(): void {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
  }

  connect(): void {}
  subscribe(): void {}
  unsubscribe(): void {}
  close(): void {
    this.closed = true;
  }
}

/** One end of a native monitor: events wait in it until somebody reads. */
export class FakeObserver implements NativeObserver {
  readonly events: NativeEvent[] = [];
  #read: Wait<NativeEvent> | undefined;

  get read(): boolean {
    return this.#read !== undefined;
  }

  push(event: NativeEvent): void {
    this.events.push(event);
    const read = this.#read;
    if (read === undefined) return;
    this.#read = undefined;
    read.resolve(this.events.shift() as NativeEvent);
  }

  receive(): Promise<NativeEvent> {
    const event = this.events.shift();
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve, reject) => {
      this.#read = { resolve, reject };
    });
  }

  close(): void {
    this.#read?.reject(nativeError("EBADF"));
    this.#read = undefined;
  }
}

/** A native socket's monitor. */
export class FakeMonitored {
  readonly observers: FakeObserver[] = [];
  /** What the next attempts to make an observer throw. */
  readonly failures: Error[] = [];
  readonly socket = new FakeNativeSocket();
  readonly native: Native;

  constructor() {
    const { observers, failures } = this;
    this.native = {
      Observer: class extends FakeObserver {
        constructor() {
          super();
          const failure = failures.shift();
          if (failure !== undefined) throw failure;
          observers.push(this);
        }
      },
    } as unknown as Native;
  }

  get current(): FakeObserver {
    return this.observers.at(-1) as FakeObserver;
  }

  close(): void {
    this.socket.close();
    this.current.push({ type: "end" });
  }
}
