/**
 * Messages of a cluster over the streams of its node. Membership and messages share one stream for each pair of nodes.
 *
 *   this node's Sending ──out──┐                        ┌──in──> Receiving
 *                              stream to a node, per namespace
 *   Receiving <──in────────────┘                        └──out── the other node's Sending
 *
 * BATCH goes to the other node's `in`, which HELLO makes; ACK and REFUSED to its `out`.
 */

import type { Duplex } from "node:stream";
import { thrownText } from "../../core/arguments.js";
import { joinAddress } from "../net/addresses.js";
import type { NamespaceCodec } from "../net/namespace-codec.js";
import type { DialTarget, MessageProtocol, ProtocolHost, ProtocolListener } from "./protocols.js";
import { encodeRefused, LinkFrame } from "./wire.js";

/** Lanes as the first byte of a message. */
const LANES = Array.from({ length: 256 }, (_, lane) => Buffer.of(lane));

/** A verified stream of the node (net/stream.ts). */
export interface PairStream {
  readonly protocol: string;
  readonly address: string;
  /** IP address of the other end. */
  readonly remote: string;
  /** Proved by the other end; `undefined`: nodes have no keys. */
  readonly node: { readonly id: string } | undefined;
  /** Whether sent memory is free once it is acknowledged. */
  readonly copiesSent: boolean;
  /** Whether messages for a node may use it: another node may have had the address, or only claim it. */
  isFor(id: string): boolean;
  readonly isOpen: boolean;
  /** Whether the other end has not taken sent bytes for long. */
  readonly isFull: boolean;
  /** Ends of links; without any it may be closed as idle. */
  users: number;
  sendMessages(codec: NamespaceCodec, frames: readonly Uint8Array[]): void;
  /** The other end is asked, and has this many ms for any bytes. */
  expectAnswer(heartbeat: number): void;
}

export interface PairStreamTable {
  /** Protocol of the node's own port: "tcp", or "tls". */
  readonly scheme: string;
  /** "host:port" of this node; empty before the start. */
  readonly ownAddress: string;
  /**
   * A missing stream of the node's own port is dialled: `onUp` or `onFailed` follows.
   */
  streamTo(address: string, protocol: string, id: string): PairStream | undefined;
  /** Makes a stream of a duplex; `onUp` or `onFailed` follows. */
  open(duplex: Duplex, how: { readonly protocol: string; readonly dialled?: string }): void;
}

/** Without `connect` the node dials its own port. */
export type LinkProtocol = Omit<MessageProtocol, "connect"> & Partial<Pick<MessageProtocol, "connect">>;

export interface LinkEnd {
  /** 0: for everything. Others: for messages that name protocols, of which each is a bit. */
  readonly lane: number;
  /** Set by PairStreams. */
  stream: PairStream | undefined;
  onFrame(frame: Buffer): void;
}

/** A stream for a sending end, or the wait for one. */
export interface DiallingEnd extends LinkEnd {
  readonly protocol: LinkProtocol;
  /** Advert of the protocol's listener. */
  readonly where: string;
  readonly target: DialTarget;
  /** Dialled address, set by PairStreams. */
  address: string;
  /** It was dropped. */
  readonly hasEnded: boolean;
  onOpen(): void;
  /** It drops itself. */
  onEnd(reason: string): void;
}

export interface ReceivingEnd extends LinkEnd {
  /** The sender's. */
  readonly id: string;
}

export interface LinkResponder {
  /** @param from the node whose link has the lane; `undefined`: none */
  onHello(stream: PairStream, lane: number, frame: Buffer, from: string | undefined): void;
}

/** Ends of one lane over one stream. */
interface Ends {
  out: DiallingEnd | undefined;
  in: ReceivingEnd | undefined;
}

export class PairStreams {
  /** Bytes of an item with what is around it: prefix, seal, lane, headers. */
  readonly maxFrame: number;
  readonly #table: PairStreamTable;
  readonly #codec: NamespaceCodec;
  readonly #node: ProtocolHost;
  readonly #ends = new Map<PairStream, Ends[]>();
  /** They wait for a stream. */
  readonly #waiting = new Set<DiallingEnd>();
  readonly #accepting = new Map<string, LinkResponder>();

  constructor(table: PairStreamTable, codec: NamespaceCodec, maxItem: number, node: ProtocolHost) {
    this.#table = table;
    this.#codec = codec;
    this.#node = node;
    this.maxFrame = maxItem + 256;
  }

  /** The node's own port. */
  ownProtocol(): LinkProtocol {
    const table = this.#table;
    return {
      name: table.scheme,
      reaches: ({ host }) => host !== "",
      listen: async () => {
        const { ownAddress } = table;
        const advert = ownAddress.slice(ownAddress.lastIndexOf(":") + 1);
        return { advert, close: async () => undefined };
      },
    };
  }

  async listen(protocol: LinkProtocol): Promise<ProtocolListener> {
    const accept = (stream: Duplex): void => this.#table.open(stream, { protocol: protocol.name });
    return protocol.listen(accept, this.#node);
  }

  /** What comes by a protocol's streams is taken from now on. */
  accept(protocol: string, links: LinkResponder): void {
    this.#accepting.set(protocol, links);
  }

  /** Links end, and nothing is taken any more; the streams are the node's. */
  close(): void {
    this.#accepting.clear();
    for (const [stream] of this.#ends) this.onEnd(stream, "closed");
  }

  /** `onOpen` or `onEnd` follows. */
  dial(end: DiallingEnd): void {
    const { protocol, where, target } = end;
    const { name } = protocol;
    const isOwn = protocol.connect === undefined;
    const address = isOwn ? joinAddress(target.host, Number(where)) : target.address;
    end.address = address;
    const stream = this.#table.streamTo(address, name, target.id);
    if (stream !== undefined) {
      queueMicrotask(() => this.#attach(end, stream));
      return;
    }
    this.#waiting.add(end);
    // It may throw, or return something else than a stream.
    if (!isOwn)
      Promise.resolve()
        .then(() => protocol.connect?.(where, target, this.#node))
        .then((duplex) => this.#table.open(duplex as Duplex, { protocol: name, dialled: address }))
        .catch((error: unknown) => this.onFailed(address, name, thrownText(error)));
  }

  #attach(end: DiallingEnd, stream: PairStream): void {
    if (end.hasEnded) return;
    if (!stream.isOpen) {
      end.onEnd("the stream has ended");
      return;
    }
    this.#endsOf(stream, end.lane).out?.onEnd("another connection took its place");
    // The program, which hears of that, may have closed this end or the stream.
    if (end.hasEnded || !stream.isOpen) {
      this.#attach(end, stream);
      return;
    }
    this.#endsOf(stream, end.lane).out = end;
    end.stream = stream;
    stream.users += 1;
    end.onOpen();
  }

  /** A lane of a stream is a receiving end's from now on, and that of before is not. */
  take(stream: PairStream, receiving: ReceivingEnd): void {
    if (receiving.stream === stream) return;
    this.drop(receiving);
    this.#endsOf(stream, receiving.lane).in = receiving;
    receiving.stream = stream;
    stream.users += 1;
  }

  /** It gives its stream up, or the wait for one. */
  drop(end: LinkEnd): void {
    const { stream } = end;
    if (stream === undefined) {
      this.#waiting.delete(end as DiallingEnd);
      return;
    }
    end.stream = undefined;
    stream.users -= 1;
    const ends = this.#ends.get(stream)?.[end.lane];
    if (ends?.out === end) ends.out = undefined;
    if (ends?.in === end) ends.in = undefined;
  }

  #endsOf(stream: PairStream, lane: number): Ends {
    let lanes = this.#ends.get(stream);
    if (lanes === undefined) {
      lanes = [];
      this.#ends.set(stream, lanes);
    }
    lanes[lane] ??= { out: undefined, in: undefined };
    return lanes[lane];
  }

  /** @param frames must not change before their acknowledgement */
  send({ stream, lane }: LinkEnd, frames: readonly Uint8Array[]): void {
    stream?.sendMessages(this.#codec, [LANES[lane] as Buffer, ...frames]);
  }

  /** To a greeting. A peer that greets without reading would get unbounded answers. */
  answer(stream: PairStream, lane: number, frame: Uint8Array): void {
    if (!stream.isFull) stream.sendMessages(this.#codec, [LANES[lane] as Buffer, frame]);
  }

  /** The sending end learns why, and the receiving one gives the stream up. */
  refuse(stream: PairStream, lane: number, reason: string): void {
    this.answer(stream, lane, encodeRefused(reason));
    const receiving = this.#ends.get(stream)?.[lane]?.in;
    if (receiving !== undefined) this.drop(receiving);
  }

  #waitingFor(address: string, protocol: string): DiallingEnd[] {
    return [...this.#waiting].filter((each) => each.address === address && each.protocol.name === protocol);
  }

  onUp(stream: PairStream): void {
    for (const end of this.#waitingFor(stream.address, stream.protocol))
      if (stream.isFor(end.target.id) && this.#waiting.delete(end)) this.#attach(end, stream);
  }

  onFailed(address: string, protocol: string, reason: string): void {
    for (const end of this.#waitingFor(address, protocol)) if (this.#waiting.delete(end)) end.onEnd(reason);
  }

  onEnd(stream: PairStream, reason: string): void {
    const lanes = this.#ends.get(stream);
    this.#ends.delete(stream);
    for (const ends of lanes ?? []) {
      ends?.out?.onEnd(reason);
      if (ends?.in !== undefined) this.drop(ends.in);
    }
  }

  /** @returns whether a link took the bytes */
  onMessages(stream: PairStream, bytes: Buffer): boolean {
    const lane = bytes[0];
    if (lane === undefined) return false;
    const frame = bytes.subarray(1);
    const type = frame[0];
    const ends = this.#ends.get(stream)?.[lane];
    if (type === LinkFrame.ACK || type === LinkFrame.REFUSED) {
      const out = ends?.out;
      if (out === undefined || stream.isFor(out.target.id)) out?.onFrame(frame);
      else out.onEnd("another node has the address");
      return true;
    }
    const links = this.#accepting.get(stream.protocol);
    if (links === undefined) return false;
    const receiving = ends?.in;
    if (receiving !== undefined && type === LinkFrame.BATCH) receiving.onFrame(frame);
    else if (receiving !== undefined || type === LinkFrame.HELLO)
      links.onHello(stream, lane, frame, receiving?.id);
    // This end has given the link up: it begins again with a greeting.
    else this.refuse(stream, lane, "no-hello");
    return true;
  }
}
