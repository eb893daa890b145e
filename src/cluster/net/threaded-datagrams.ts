/** A node's datagrams by a thread of their own (`beats: "thread"`), which answers pings while the event loop is blocked. */
import { Worker } from "node:worker_threads";
import { builtFile } from "../../core/built-file.js";
import { type ErrorCode, TransportError } from "../../core/errors.js";
import {
  BeatField,
  type BeatThreadData,
  type FromBeatThread,
  MAX_BUSES,
  type ToBeatThread,
} from "./beat-messages.js";
import type { BusCodec } from "./bus-codec.js";
import { Datagrams } from "./datagrams.js";
import type { BeatState, DatagramOptions, OnDatagram, PacketSocket } from "./packet-socket.js";

/** Where this process was started with a module as text, that is no argument for a thread with a file. */
const UNFIT = /^(?:--input-type|--eval|-e|--print|-p|-pe|--check|-c|--interactive|-i)(?:=|$)/;

export class ThreadedDatagrams implements PacketSocket {
  readonly #options: DatagramOptions;
  readonly #onDatagram: OnDatagram;
  readonly #count: (reason: string) => void;
  readonly #handled = new Int32Array(new SharedArrayBuffer(4));
  readonly #beats = new Float64Array(new SharedArrayBuffer(8 * BeatField.LENGTH * MAX_BUSES));
  /** Places of buses in the shared memory. */
  readonly #places = new Map<BusCodec, { readonly index: number; id: string }>();
  #worker: Worker | undefined;
  /** In place of a thread that failed. */
  #fallback: Datagrams | undefined;
  #hasGroup = false;
  #closed = false;
  #onClosed: () => void = () => undefined;

  constructor(options: DatagramOptions, onDatagram: OnDatagram, count: (reason: string) => void) {
    this.#options = options;
    this.#onDatagram = onDatagram;
    this.#count = count;
  }

  get hasGroup(): boolean {
    return this.#fallback?.hasGroup ?? this.#hasGroup;
  }

  open(): Promise<void> {
    const workerData: BeatThreadData = {
      options: this.#options,
      handled: this.#handled.buffer as SharedArrayBuffer,
      beats: this.#beats.buffer as SharedArrayBuffer,
    };
    const worker = new Worker(builtFile("dist/cluster/net/beat-thread.js"), {
      workerData,
      execArgv: process.execArgv.filter((argument) => !UNFIT.test(argument)),
      name: "shoal-beats",
    });
    this.#worker = worker;
    return new Promise((resolve, reject) => {
      worker.on("message", (message: FromBeatThread) => {
        switch (message.type) {
          case "open":
            this.#hasGroup = message.hasGroup;
            resolve();
            break;
          case "group":
            this.#hasGroup = message.hasGroup;
            break;
          case "failed":
            reject(new TransportError(message.code as ErrorCode, message.message));
            break;
          case "datagrams":
            for (const { bytes, host, port, byGroup } of message.datagrams) {
              Atomics.add(this.#handled, 0, 1);
              if (!this.#closed)
                this.#onDatagram(
                  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
                  host,
                  port,
                  byGroup,
                );
            }
            break;
          case "count":
            this.#count(message.reason);
            break;
          case "closed":
            this.#onClosed();
        }
      });
      worker.on("error", (error) => {
        reject(error);
        this.#count("thread:failed");
      });
      worker.on("exit", () => {
        // Nothing, where it has answered. A module that the process preloads may end it before.
        reject(new TransportError("ERR_TRANSPORT", "the thread of beats ended before its socket was open"));
        this.#worker = undefined;
        this.#onClosed();
        if (!this.#closed && this.#places.size > 0) this.#fallBack();
      });
    });
  }

  setInterfaces(interfaces: readonly string[]): void {
    if (this.#fallback !== undefined) this.#fallback.setInterfaces(interfaces);
    else this.#post({ type: "interfaces", interfaces });
  }

  send(bytes: Buffer, host: string, port: number): void {
    if (this.#fallback !== undefined) this.#fallback.send(bytes, host, port);
    else this.#post({ type: "send", bytes: Uint8Array.from(bytes), host, port });
  }

  multicast(bytes: Buffer): void {
    if (this.#fallback !== undefined) this.#fallback.multicast(bytes);
    else this.#post({ type: "multicast", bytes: Uint8Array.from(bytes) });
  }

  beat(codec: BusCodec, { id, start, count, digest, answers }: BeatState): void {
    let place = this.#places.get(codec);
    if (place === undefined) {
      const used = new Set([...this.#places.values()].map(({ index }) => index));
      let index = 0;
      while (used.has(index)) index += 1;
      place = { index, id };
      this.#places.set(codec, place);
      this.rekey(codec);
    }
    const fields = this.#beats;
    const at = place.index * BeatField.LENGTH;
    const version = fields[at + BeatField.VERSION] as number;
    fields[at + BeatField.VERSION] = version + 1;
    fields[at + BeatField.ANSWERS] = answers ? 1 : 0;
    fields[at + BeatField.START] = start;
    fields[at + BeatField.COUNT] = count;
    fields[at + BeatField.DIGEST] = digest;
    fields[at + BeatField.VERSION] = version + 2;
    if (!answers) this.#places.delete(codec);
  }

  rekey(codec: BusCodec): void {
    const place = this.#places.get(codec);
    if (place === undefined) return;
    this.#post({ type: "bus", index: place.index, name: codec.name, id: place.id, keys: codec.keys });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#fallback?.close();
    if (this.#worker === undefined) return;
    const closed = new Promise<void>((resolve) => {
      this.#onClosed = resolve;
    });
    this.#post({ type: "close" });
    await closed;
  }

  #post(message: ToBeatThread): void {
    this.#worker?.postMessage(message);
  }

  /** The thread is gone, which should not be: the event loop reads the datagrams from now on. */
  #fallBack(): void {
    const datagrams = new Datagrams(this.#options, this.#onDatagram, this.#count);
    this.#fallback = datagrams;
    datagrams.open().catch(() => this.#count("socket"));
  }
}
