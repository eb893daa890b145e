/**
 * A protocol over whatever is a stream of bytes: a named pipe, the standard streams of a child process, TLS. What is written:
 *
 *   frame    length 4, big-endian, its top bit: another frame of the message follows | bytes
 *   empty    length 0, between two messages: the end that dialled asks whether the other one is there, and that one answers alike
 *
 * A stream that swallows what is written reports nothing, so the end that dialled asks when nothing came for `heartbeat` ms after a message, and ends the
 * connection after the same time without an answer. Acknowledgements are no substitute: a program may take its time for a message. Only while the
 * question waits behind other bytes, and those move, is there more time.
 */
import type { Duplex } from "node:stream";
import { checkKeys, describe, thrownText } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { RunningTimeout } from "../../core/running-timeout.js";
import type {
  ConnectionEvents,
  DialTarget,
  MessageConnection,
  MessageProtocol,
  ProtocolHost,
  ProtocolListener,
} from "./protocol.js";

const MORE = 0x8000_0000;
const LENGTH = 4;
/** Frames of a message, at most. */
const MAX_MESSAGE_FRAMES = 2;
/** Asks whether the other end is there, and answers that. */
const EMPTY_FRAME = Buffer.alloc(LENGTH);

/** What {@link streamProtocol} makes a protocol of. */
export interface StreamProtocolOptions {
  /** 1 to 16 lower-case letters and digits: both ends know it by that. */
  readonly name: string;
  /**
   * Whether nobody who lacks the bus's key can read the streams or open one: the program sees to that. Default `false`: not for a bus with a key. A node
   * with a key of its own (`curve`) takes no streams, since they do not prove it.
   */
  readonly secure?: boolean | undefined;
  /** Whether such a node may be reached. Default: on this host. */
  readonly reaches?: ((target: DialTarget) => boolean) | undefined;
  /** Listens, and calls `accept` with each stream that comes. */
  listen(accept: (stream: Duplex) => void, host: ProtocolHost): Promise<ProtocolListener>;
  /** Opens a stream. @param where what the other end's listener advertised */
  connect(where: string, target: DialTarget, host: ProtocolHost): Promise<Duplex>;
}

/**
 * A protocol for messages between nodes, over streams that the program opens.
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown option, and one of another type
 */
export function streamProtocol(options: StreamProtocolOptions): MessageProtocol {
  checkKeys("streamProtocol", options, ["name", "secure", "reaches", "listen", "connect"]);
  const { name, secure = false, reaches = ({ local }: DialTarget) => local } = options;
  for (const call of ["listen", "connect"] as const)
    if (typeof options[call] !== "function")
      throw new InvalidArgumentError(
        `${call} of streamProtocol is a function; got ${describe(options[call])}`,
      );
  return {
    name,
    secure,
    provesKeys: false,
    reaches,
    async listen(host) {
      const open = new Set<StreamConnection>();
      const listener = await options.listen((stream) => {
        const connection = new StreamConnection(host.maxFrame, 0, () => open.delete(connection));
        open.add(connection);
        connection.events = host.accept(connection);
        connection.attach(stream);
      }, host);
      return {
        advert: listener.advert,
        isOpen: async () => (await listener.isOpen?.()) !== false,
        rekeyed: () => listener.rekeyed?.(),
        async close(linger) {
          for (const connection of open) connection.close(linger);
          await listener.close(linger);
        },
      };
    },
    dial(where, target, host, events) {
      const connection = new StreamConnection(host.maxFrame, host.heartbeat, () => undefined);
      connection.events = events;
      // Inside a promise: it may throw as well as reject, and what it gives may be no stream.
      Promise.resolve()
        .then(() => options.connect(where, target, host))
        .then((stream) => connection.attach(stream))
        .catch((error: unknown) => connection.ended(thrownText(error)));
      return connection;
    },
  };
}

class StreamConnection implements MessageConnection {
  readonly publicKey = undefined;
  events: ConnectionEvents | undefined = undefined;
  readonly #maxFrame: number;
  readonly #onEnd: () => void;
  #stream: Duplex | undefined = undefined;
  #isOver = false;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Bytes that the next frame takes, its length included; 0: not known yet. */
  #wanted = 0;
  #frames: Buffer[] = [];
  #isCorked = false;
  /** ms; 0: this end did not dial, and only answers. */
  readonly #heartbeat: number;
  #silence: RunningTimeout | undefined = undefined;
  /** Whether something was sent after the last bytes that came. */
  #isAwaiting = false;
  /** Bytes that were written with the question, all before it included; `undefined`: none has been asked since bytes came. */
  #askedAt: number | undefined = undefined;
  #written = 0;
  /** Bytes that the stream had taken when they were last compared. */
  #taken = 0;

  constructor(maxFrame: number, heartbeat: number, onEnd: () => void) {
    this.#maxFrame = maxFrame;
    this.#heartbeat = heartbeat;
    this.#onEnd = onEnd;
  }

  /** It is open. What a program gave for a stream may be anything. */
  attach(stream: Duplex): void {
    if (typeof stream?.on !== "function" || typeof stream.write !== "function") {
      this.ended(`a stream is expected; got ${describe(stream)}`);
      return;
    }
    if (this.#isOver) {
      // It was given up before it was open: no error of it matters.
      stream.on("error", () => undefined).destroy();
      return;
    }
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => this.#onData(chunk));
    stream.on("error", (error) => this.ended(error.message));
    stream.on("end", () => this.ended("remote"));
    stream.on("close", () => this.ended("closed"));
    this.events?.onOpen();
  }

  send(frames: readonly Uint8Array[]): void {
    const stream = this.#stream;
    if (stream === undefined || this.#isOver) return;
    if (!this.#isCorked) {
      this.#isCorked = true;
      stream.cork();
      process.nextTick(this.#uncork);
    }
    for (let i = 0; i < frames.length; i++) {
      const frame = frames[i] as Uint8Array;
      const head = Buffer.allocUnsafe(LENGTH);
      head.writeUInt32BE(i + 1 < frames.length ? frame.length + MORE : frame.length, 0);
      stream.write(head);
      stream.write(frame);
      this.#written += LENGTH + frame.length;
    }
    this.#isAwaiting = true;
    this.#watch();
  }

  #watch(): void {
    if (this.#heartbeat > 0) this.#silence ??= new RunningTimeout(this.#heartbeat, this.#onSilence);
  }

  #onSilence = (): void => {
    this.#silence = undefined;
    const stream = this.#stream;
    if (stream === undefined || !this.#isAwaiting) return;
    const taken = this.#written - stream.writableLength;
    const isMoving = taken > this.#taken;
    this.#taken = taken;
    if (this.#askedAt === undefined) {
      stream.write(EMPTY_FRAME);
      this.#written += LENGTH;
      this.#askedAt = this.#written;
    } else if (taken >= this.#askedAt || !isMoving) {
      this.ended("no answer");
      return;
    }
    this.#watch();
  };

  close(linger: number): void {
    this.events = undefined;
    this.#isOver = true;
    this.#silence?.clear();
    const stream = this.#stream;
    this.#onEnd();
    if (stream === undefined) return;
    // It ends anyhow, and what was not acknowledged is sent again.
    stream.on("error", () => undefined);
    this.#uncork();
    stream.end();
    const timer = setTimeout(() => stream.destroy(), Math.max(0, linger));
    timer.unref();
    stream.once("finish", () => stream.destroy());
  }

  ended(reason: string): void {
    const { events } = this;
    if (this.#isOver) return;
    this.close(0);
    events?.onClose(reason);
  }

  #uncork = (): void => {
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#stream?.uncork();
  };

  #onData(chunk: Buffer): void {
    this.#isAwaiting = false;
    this.#askedAt = undefined;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (!this.#isOver && this.#bytes >= Math.max(LENGTH, this.#wanted)) {
      const bytes = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
      this.#chunks = [bytes];
      const word = bytes.readUInt32BE(0);
      const size = word % MORE;
      if (size > this.#maxFrame) {
        this.ended("malformed");
        return;
      }
      this.#wanted = LENGTH + size;
      if (this.#bytes < this.#wanted) return;
      this.#onFrame(bytes.subarray(LENGTH, this.#wanted), word >= MORE);
      this.#chunks = this.#bytes === this.#wanted ? [] : [bytes.subarray(this.#wanted)];
      this.#bytes -= this.#wanted;
      this.#wanted = 0;
    }
  }

  #onFrame(frame: Buffer, more: boolean): void {
    if (frame.length === 0 && !more && this.#frames.length === 0) {
      this.#answer();
      return;
    }
    this.#frames.push(frame);
    if (this.#frames.length > MAX_MESSAGE_FRAMES) this.ended("malformed");
    if (more) return;
    const frames = this.#frames;
    this.#frames = [];
    this.events?.onMessage(frames);
  }

  /** Of a peer that asks and does not read, no answers wait: what does is an answer as well. */
  #answer(): void {
    if (this.#heartbeat === 0 && this.#stream?.writableLength === 0) this.#stream.write(EMPTY_FRAME);
  }
}
