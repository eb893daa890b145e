/**
 * A stream to a socket in another thread, over a MessagePort.
 *
 *   write   bytes, copied once into memory that is transferred: one post for each write. The stream is full while the
 *           other thread has not read WINDOW posts, each MiB of one counting as one more: 2 MiB of small messages
 *   read    this memory as it is: frames are views of it
 *
 * The words on the port, both ways:
 *
 *   ArrayBuffer, transferred   bytes
 *   true                       a part of the posts was read
 *   null                       the sender ends its half
 *
 * All threads of the process are one program, so words are not checked.
 */
import { Duplex } from "node:stream";
import type { MessagePort } from "node:worker_threads";
import { forbidTransfer } from "../../../core/memory.js";
import { addressOf } from "../../../core/schemes/grammar.js";
import { DuplexStream } from "../transport/tcp.js";

/** A window of 4 MiB lets threads wait for each other with messages of 1 MiB; 16 MiB of small ones leave the caches. */
const WINDOW = 32;
const PART = WINDOW / 4;

function weightOf(bytes: number): number {
  return 1 + (bytes >>> 20);
}

type Done = (error?: Error | null) => void;

/** One end of a port. */
export interface PortEnd {
  readonly port: MessagePort;
  /** Weight of the posts that each end has read, modulo 2^32: a sender that never waits does not take words. */
  readonly counts: Int32Array;
  /** Which of the counts is this end's. */
  readonly own: 0 | 1;
}

class PortDuplex extends Duplex {
  readonly #end: PortEnd;
  #sent = 0;
  /** Of a write into a full stream. */
  #done: Done | undefined = undefined;
  #came = 0;
  #reported = 0;

  constructor(end: PortEnd) {
    super();
    this.#end = end;
    const { port } = end;
    port.on("message", (word: ArrayBuffer | true | null) => this.#portOnWord(word));
    // Received bytes are still read.
    port.on("close", () => this.push(null));
    port.unref();
  }

  override _write(chunk: Uint8Array, _: string, done: Done): void {
    this.#post([{ chunk }], done);
  }

  override _writev(chunks: readonly { readonly chunk: Uint8Array }[], done: Done): void {
    this.#post(chunks, done);
  }

  override _final(done: Done): void {
    this.#end.port.postMessage(null);
    done();
  }

  override _read(): void {
    const { port, counts, own } = this.#end;
    Atomics.store(counts, own, this.#came);
    if (this.#came - this.#reported < PART) return;
    this.#reported = this.#came;
    port.postMessage(true);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#end.port.close();
    done(error);
  }

  get #isFull(): boolean {
    const { counts, own } = this.#end;
    return ((this.#sent - Atomics.load(counts, 1 - own)) | 0) >= WINDOW;
  }

  #post(chunks: readonly { readonly chunk: Uint8Array }[], done: Done): void {
    const size = chunks.reduce((sum, { chunk }) => sum + chunk.length, 0);
    const memory = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const { chunk } of chunks) {
      memory.set(chunk, at);
      at += chunk.length;
    }
    const buffer = memory.buffer as ArrayBuffer;
    this.#end.port.postMessage(buffer, [buffer]);
    this.#sent += weightOf(size);
    if (this.#isFull) this.#done = done;
    else done();
  }

  #portOnWord(word: ArrayBuffer | true | null): void {
    if (word === null) this.push(null);
    else if (word === true) this.#partWasRead();
    else {
      const bytes = Buffer.from(word);
      // Frames share this memory.
      forbidTransfer(bytes);
      this.#came += weightOf(bytes.length);
      this.push(bytes);
    }
  }

  #partWasRead(): void {
    if (this.#isFull) return;
    const done = this.#done;
    this.#done = undefined;
    done?.();
  }
}

export class PortStream extends DuplexStream {
  readonly inProcess = true;

  /** @param name the inproc endpoint */
  constructor(end: PortEnd, name: string) {
    super(new PortDuplex(end), name, addressOf(name));
  }
}
