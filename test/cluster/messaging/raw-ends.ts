/** Ends of links that speak for themselves, over the streams of real nodes: a test decides about each frame. */
import type { ClusterNode } from "../../../src/cluster/index.js";
import type {
  DiallingEnd,
  LinkResponder,
  PairStream,
  PairStreams,
  ReceivingEnd,
} from "../../../src/cluster/messaging/pair-streams.js";
import {
  decodeHello,
  decodeRefused,
  encodeAck,
  encodeHello,
  type Hello,
} from "../../../src/cluster/messaging/wire.js";
import { splitAddress } from "../../../src/cluster/net/addresses.js";

/** The sending end of a member that means harm. */
export class RawSender {
  readonly #from: ClusterNode;
  readonly #to: ClusterNode;
  readonly #end: DiallingEnd;
  readonly #streams: PairStreams;
  readonly #came: Buffer[] = [];
  #onFrame = (): void => undefined;

  private constructor(from: ClusterNode, to: ClusterNode, onOpen: () => void) {
    this.#from = from;
    this.#to = to;
    this.#streams = from.parts.messages.streams as PairStreams;
    const { host, port } = splitAddress(to.address) as { host: string; port: number };
    this.#end = {
      protocol: this.#streams.ownProtocol(),
      where: String(port),
      target: { id: to.id, host, address: to.address, local: true },
      stream: undefined,
      hasEnded: false,
      onOpen,
      onFrame: (frame) => {
        this.#came.push(Buffer.from(frame));
        this.#onFrame();
      },
      onEnd: () => this.close(),
    };
    this.#streams.dial(this.#end);
  }

  static open(from: ClusterNode, to: ClusterNode): Promise<RawSender> {
    return new Promise((resolve) => {
      const sender = new RawSender(from, to, () => resolve(sender));
    });
  }

  give(...frames: Buffer[]): void {
    for (const frame of frames) this.#end.stream?.sendMessages(this.#from.parts.codec, [frame]);
  }

  async receive(): Promise<Buffer> {
    while (this.#came.length === 0) await new Promise<void>((resolve) => (this.#onFrame = resolve));
    return this.#came.shift() as Buffer;
  }

  hello(changes: Partial<Hello> = {}): Promise<Buffer> {
    const who = { to: this.#to.id, from: this.#from.id, life: "00".repeat(8), session: 0 };
    this.give(encodeHello({ ...who, maxWaiting: 0, maxWaitingBytes: 0, sent: 0, ...changes }));
    return this.receive();
  }

  /** @returns why it was refused */
  async send(...frames: Buffer[]): Promise<string | undefined> {
    this.give(...frames);
    return decodeRefused(await this.receive());
  }

  close(): void {
    this.#streams.drop(this.#end);
  }
}

/** The receiving end: it answers greetings, and acknowledges nothing by itself. */
export class RawReceiver implements LinkResponder {
  readonly frames: Buffer[] = [];
  /** Those that came. */
  greetings = 0;
  isMute = false;
  /** Answers to items. */
  onItems: (() => Uint8Array) | undefined;
  /** Of the last greeting. */
  session = -1;
  #from: PairStream | undefined;
  readonly #streams: PairStreams;

  /** Takes the place of a node's own. */
  constructor(node: ClusterNode) {
    this.#streams = node.parts.messages.streams as PairStreams;
    this.#streams.accept(this);
  }

  onLooseItem(): void {}

  onHello(stream: PairStream, frame: Buffer): void {
    const hello = decodeHello(frame);
    if (hello === undefined) return;
    this.greetings += 1;
    if (this.isMute) return;
    this.session = hello.session;
    this.#from = stream;
    const end: ReceivingEnd = {
      id: hello.from,
      stream: undefined,
      onFrame: (items) => {
        this.frames.push(Buffer.from(items));
        if (this.onItems !== undefined) this.#streams.answer(stream, this.onItems());
      },
    };
    this.#streams.take(stream, end);
    this.acknowledge(0);
  }

  acknowledge(delivered: number): void {
    this.#streams.answer(this.#from as PairStream, encodeAck(this.session, delivered));
  }
}
