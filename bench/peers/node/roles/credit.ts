/**
 * Credit of a publisher from its readers: PUB drops messages for which a slow reader has no room, and a run with
 * drops is invalid. Each reader reports over a separate socket that it is there, and then each window of received
 * messages.
 *
 *   PUSH reader  ── a byte, its index ──>  PULL publisher      at most two windows are in flight
 */
import type { Kit } from "../kit.js";

export class CreditTaker {
  readonly #socket: InstanceType<Kit["Pull"]>;
  readonly #window: number;
  readonly #words: number[];
  readonly #reading: Promise<void>;
  #wake: () => void = () => undefined;

  private constructor(socket: InstanceType<Kit["Pull"]>, readers: number, window: number) {
    this.#socket = socket;
    this.#window = window;
    this.#words = Array.from({ length: readers }, () => 0);
    this.#reading = this.#read();
  }

  static async bind(kit: Kit, endpoint: string, readers: number, window: number): Promise<CreditTaker> {
    const socket = new kit.Pull();
    await socket.bind(endpoint);
    return new CreditTaker(socket, readers, window);
  }

  get endpoint(): string | null {
    return this.#socket.lastEndpoint;
  }

  /** Messages that may have been sent by now; none until every reader is there. */
  get allowed(): number {
    const least = Math.min(...this.#words);
    return least === 0 ? 0 : (1 + least) * this.#window;
  }

  /** Settles when a reader has reported. */
  async more(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  async close(): Promise<void> {
    await this.#socket.close();
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const [word] of this.#socket) {
      const index = (word as Buffer)[0] as number;
      this.#words[index] = (this.#words[index] as number) + 1;
      this.#wake();
    }
  }
}

export class CreditGiver {
  readonly #socket: InstanceType<Kit["Push"]>;
  readonly #index: number;
  readonly #window: number;
  #given = 0;
  /** The package zeromq refuses a second send while the first waits. */
  #line: Promise<void> = Promise.resolve();

  constructor(kit: Kit, endpoint: string, index: number, window: number) {
    this.#socket = new kit.Push();
    this.#socket.connect(endpoint);
    this.#index = index;
    this.#window = window;
  }

  /** Reports that the reader is there, and its subscription is known to the publisher. */
  hello(): void {
    this.#say();
  }

  /** @param count received messages */
  has(count: number): void {
    for (; (this.#given + 1) * this.#window <= count; this.#given++) this.#say();
  }

  async close(): Promise<void> {
    await this.#line;
    await this.#socket.close();
  }

  #say(): void {
    this.#line = this.#line.then(() => this.#socket.send(Buffer.of(this.#index)));
  }
}
