/**
 * Streams for messages at a node's own port: what the protocol "node" stands on, as tcp does on ports of its own.
 *
 *   dial    stream --"SHLM", version, bus--> ... its hello, skipped --> the connection's
 *   accept  a link that reads "SHLM" in place of a hello gives its stream to the listener of that bus
 *
 * The engine sees a transport as tcp is: the rest of the stream is a connection of ZMTP (37/ZMTP), with CURVE where the bus has a key.
 */
import { NotSupportedError, TransportError } from "../../core/errors.js";
import { RunningTimeout } from "../../core/running-timeout.js";
import { addressOf } from "../../core/schemes/scheme.js";
import type { Sink } from "../../engine/zmtp/transport/reader.js";
import {
  type Acceptor,
  handOver,
  type Stream,
  type Transport,
} from "../../engine/zmtp/transport/transport.js";
import { encodeMessagesHead, HELLO_HEAD, helloSize } from "../wire/stream.js";
import { HELLO_TIMEOUT } from "./link.js";

/** The streams of a node, as its messages need them. */
export interface MessageStreams {
  /** Where others dial the node, "host:port". */
  readonly ownAddress: string;
  /** Gives streams for the messages of a bus to `acceptor`. @returns ends that */
  takeMessages(bus: number, acceptor: Acceptor): () => void;
  /** Opens a stream to a node's port. @param done called once, unless cancelled @returns call it to cancel */
  dialMessages(address: string, done: (result: Stream | Error) => void): () => void;
}

/** @param bus number of the bus */
export function messageTransport(streams: MessageStreams, bus: number): Transport {
  return {
    scheme: "tcp",

    async listen(endpoint, _options, acceptor) {
      if (streams.ownAddress === "")
        throw new TransportError("EADDRNOTAVAIL", "the node was not started", { endpoint });
      const end = streams.takeMessages(bus, acceptor);
      return { endpoint: `tcp://${streams.ownAddress}`, close: async () => end() };
    },

    listenSync() {
      throw new NotSupportedError("The port of a node cannot be bound synchronously");
    },

    dial(endpoint, _options, done) {
      let skipper: HelloSkipper | undefined;
      const cancel = streams.dialMessages(addressOf(endpoint), (result) => {
        if (result instanceof Error) done(result);
        else skipper = new HelloSkipper(result, bus, done);
      });
      return () => {
        cancel();
        skipper?.cancel();
      };
    },
  };
}

/** A dialled stream until the other node's hello has come, which its listener sends to everybody. */
class HelloSkipper implements Sink {
  readonly #stream: Stream;
  readonly #done: (result: Stream | Error) => void;
  readonly #timeout: RunningTimeout;
  #pending: Buffer = Buffer.alloc(0);
  #isOver = false;

  constructor(stream: Stream, bus: number, done: (result: Stream | Error) => void) {
    this.#stream = stream;
    this.#done = done;
    this.#timeout = new RunningTimeout(HELLO_TIMEOUT, () => this.#fail("the node said no hello in time"));
    stream.socket.on("error", (error) => this.#fail(error.message));
    stream.reader.start(stream.socket, this);
    stream.socket.write(encodeMessagesHead(bus));
  }

  cancel(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timeout.clear();
    this.#stream.socket.destroy();
  }

  sinkOnBytes(bytes: Buffer, length: number): void {
    if (this.#isOver) return;
    this.#pending = Buffer.concat([this.#pending, bytes.subarray(0, length)]);
    if (this.#pending.length < HELLO_HEAD) return;
    const size = helloSize(this.#pending);
    if (size < 0) this.#fail("what is there does not speak as a node");
    else if (this.#pending.length >= size) {
      this.#isOver = true;
      this.#timeout.clear();
      handOver(this.#stream, this.#pending.subarray(size), () => this.#done(this.#stream));
    }
  }

  sinkOnEnd(): void {
    this.#fail(this.#stream.fault?.(true)?.message ?? "the other end closed the stream");
  }

  #fail(reason: string): void {
    if (this.#isOver) return;
    this.cancel();
    this.#done(new TransportError("ERR_TRANSPORT", reason));
  }
}
