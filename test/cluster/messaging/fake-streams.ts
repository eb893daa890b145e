/** Streams of frames in memory, one for each attempt to dial: a test cuts them, makes them fail, or is one end of them. */
import type { Duplex } from "node:stream";
import type {
  LinkProtocol,
  PairStream,
  PairStreams,
  PairStreamTable,
} from "../../../src/cluster/messaging/pair-streams.js";
import type { DialTarget, ProtocolListener } from "../../../src/cluster/messaging/protocol.js";
import type { ReceivingEffects } from "../../../src/cluster/messaging/receiving.js";
import { decodeAck } from "../../../src/cluster/messaging/wire.js";
import type { BusCodec } from "../../../src/cluster/net/bus-codec.js";

/** Gets what comes. */
type StreamOwner = Pick<PairStreams, "onMessages" | "onEnd">;

/** Ends when it has no users any more, as that of a node may. */
export class FakeStream implements PairStream {
  protocol = "tcp";
  address = "10.0.0.2:1";
  readonly remote = "10.0.0.2";
  node: { readonly id: string } | undefined;
  readonly copiesSent = true;
  isOpen = true;
  isFull = false;
  /** Id of the node at its end, if only that may use it. */
  isOnlyFor: string | undefined;
  /** How often an answer was expected. */
  asked = 0;
  owner: StreamOwner | undefined;
  onSent: ((frame: Buffer, lane: number) => void) | undefined;
  other: FakeStream = this;
  #users = 0;
  #isCut = false;

  static pair(): [FakeStream, FakeStream] {
    const [here, there] = [new FakeStream(), new FakeStream()];
    here.other = there;
    there.other = here;
    return [here, there];
  }

  get users(): number {
    return this.#users;
  }

  set users(users: number) {
    this.#users = users;
    if (users === 0) this.end("closed");
  }

  sendMessages(_codec: BusCodec | undefined, [lane, ...frames]: readonly Uint8Array[]): void {
    if (!this.isOpen) return;
    const frame = Buffer.concat(frames);
    this.onSent?.(frame, lane?.[0] ?? -1);
    const bytes = Buffer.concat([lane as Uint8Array, frame]);
    this.#later((other) => other.isOpen && other.owner?.onMessages(other, bytes));
  }

  expectAnswer(): void {
    this.asked += 1;
  }

  isFor(id: string): boolean {
    return this.isOnlyFor === undefined || this.isOnlyFor === id;
  }

  /** What it sent arrives, unless it is cut. */
  end(reason: string): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.owner?.onEnd(this, reason);
    this.#later((other) => other.end(reason));
  }

  cut(): void {
    this.#isCut = true;
    this.end("cut");
    this.other.end("cut");
  }

  #later(call: (other: FakeStream) => void): void {
    setImmediate(() => {
      if (!this.#isCut) call(this.other);
    });
  }
}

export class FakeTable implements PairStreamTable {
  readonly scheme = "tcp";
  readonly ownAddress = "10.0.0.1:1";
  /** The stream of the node's own port. */
  stream: FakeStream | undefined;
  streams: PairStreams | undefined;

  streamTo(): FakeStream | undefined {
    return this.stream;
  }

  open(duplex: Duplex, protocol: string, dialled = ""): void {
    const stream = duplex as unknown as FakeStream;
    Object.assign(stream, { protocol, address: dialled, owner: this.streams });
    this.streams?.onUp(stream);
  }
}

const listeners = new Map<string, (stream: Duplex) => void>();
let count = 0;

/** @returns the dialling end of a stream to a listener */
export function connectTo(advert: string | undefined): FakeStream {
  const accept = listeners.get(advert ?? "");
  if (accept === undefined) throw new Error("nobody listens");
  const [here, there] = FakeStream.pair();
  accept(there as unknown as Duplex);
  return here;
}

export class FakeProtocol implements LinkProtocol {
  readonly name: string;
  /** Whether attempts fail. */
  fails = false;
  dialled = 0;
  /** Streams that it dialled. */
  readonly streams: FakeStream[] = [];
  onSent: ((frame: Buffer) => void) | undefined;

  constructor(name = "tcp") {
    this.name = name;
  }

  reaches(_target: DialTarget): boolean {
    return true;
  }

  async listen(accept: (stream: Duplex) => void): Promise<ProtocolListener> {
    const advert = `${++count}`;
    listeners.set(advert, accept);
    return { advert, close: async () => void listeners.delete(advert) };
  }

  async connect(where: string): Promise<Duplex> {
    this.dialled += 1;
    if (this.fails) throw new Error("it fails");
    const stream = connectTo(where);
    stream.onSent = (frame) => this.onSent?.(frame);
    this.streams.push(stream);
    return stream as unknown as Duplex;
  }

  cut(): void {
    for (const stream of this.streams.splice(0)) stream.cut();
  }
}

/** Of a receiving end alone, whose acknowledgements are taken. */
export function acksTo(
  take: (ack: { session: number; delivered: number }) => unknown,
): ReceivingEffects["streams"] {
  return {
    drop: () => undefined,
    send: (_end, [frame]) => {
      const ack = decodeAck(Buffer.from(frame as Uint8Array));
      if (ack === undefined) throw new Error("not an ack");
      take(ack);
    },
  };
}

export const RECEIVING_EFFECTS: ReceivingEffects = {
  effects: {},
  streams: acksTo(() => undefined),
  onItem: () => undefined,
  onPublish: () => undefined,
  acknowledgeSoon: () => undefined,
  acknowledgeLater: () => undefined,
  onFault: () => undefined,
};
