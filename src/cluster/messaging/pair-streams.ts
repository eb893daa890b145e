/**
 * Messages of a cluster over the streams of its node. Membership and messages share one stream for each pair of nodes.
 *
 *   this node's Sending ──out──┐                        ┌──in──> Receiving
 *                              stream to a node, per namespace
 *   Receiving <──in────────────┘                        └──out── the other node's Sending
 *
 * BATCH goes to the other node's `in`, which HELLO makes; ACK and REFUSED to its `out`. ITEM needs no link.
 */

import type { Duplex } from "node:stream";
import { thrownText } from "../../core/arguments.js";
import { TransportError } from "../../core/errors.js";
import { joinAddress } from "../net/addresses.js";
import type { NamespaceCodec } from "../net/namespace-codec.js";
import type { DialTarget, MessageProtocol, ProtocolHost, ProtocolListener } from "./protocols.js";
import { encodeRefused, LinkFrame } from "./wire.js";

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
  /** Sending ends of links; without any its initiator may close it as idle. */
  users: number;
  /** @param frames must not change before their acknowledgement */
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

/** A protocol that may reach a node. */
export interface LinkWay {
  readonly protocol: LinkProtocol;
  /** Advert of the protocol's listener. */
  readonly where: string;
  readonly target: DialTarget;
}

export interface LinkEnd {
  /** Set by PairStreams. */
  stream: PairStream | undefined;
  onFrame(frame: Buffer): void;
}

/** A stream for a sending end, or the wait for one. */
export interface DiallingEnd extends LinkEnd, LinkWay {
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
  /** @param from the node whose link the stream has; `undefined`: none */
  onHello(stream: PairStream, frame: Buffer, from: string | undefined): void;
  /** An item outside of links. */
  onLooseItem(stream: PairStream, frame: Buffer): void;
}

/** Ends of links over one stream. */
interface Ends {
  out: DiallingEnd | undefined;
  in: ReceivingEnd | undefined;
}

interface StreamWaiter {
  /** Dialled. */
  readonly address: string;
  resolve(stream: PairStream): void;
  reject(error: TransportError): void;
}

export class PairStreams {
  /** Bytes of an item with what is around it: prefix, seal, headers. */
  readonly maxFrame: number;
  readonly #table: PairStreamTable;
  readonly #codec: NamespaceCodec;
  readonly #node: ProtocolHost;
  readonly #ends = new Map<PairStream, Ends>();
  readonly #waiting = new Map<LinkWay, StreamWaiter>();
  #responder: LinkResponder | undefined = undefined;

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

  /** Takes received frames from now on. */
  accept(responder: LinkResponder): void {
    this.#responder = responder;
  }

  /** Links end, and nothing is taken any more; the streams are the node's. */
  close(): void {
    this.#responder = undefined;
    for (const [stream] of this.#ends) this.onEnd(stream, "closed");
    const closed = new TransportError("ERR_TRANSPORT", "closed");
    for (const waiter of this.#waiting.values()) waiter.reject(closed);
    this.#waiting.clear();
  }

  /** `onOpen` or `onEnd` follows. */
  dial(end: DiallingEnd): void {
    this.open(end).then(
      (stream) => this.#attach(end, stream),
      (error: unknown) => end.onEnd(thrownText(error)),
    );
  }

  /** A stream, dialled if there is none. `forget` gives the wait up. @throws TransportError `ERR_TRANSPORT` */
  open(way: LinkWay): Promise<PairStream> {
    const loading = this.#codec.load();
    if (loading !== undefined) return loading.then(() => this.open(way));
    const { protocol, where, target } = way;
    const { name } = protocol;
    const isOwn = protocol.connect === undefined;
    const address = isOwn ? joinAddress(target.host, Number(where)) : target.address;
    const stream = this.#table.streamTo(address, name, target.id);
    if (stream !== undefined) return Promise.resolve(stream);
    const isDialled = isOwn || this.#waitersFor(address, name).length > 0;
    return new Promise((resolve, reject) => {
      this.#waiting.set(way, { address, resolve, reject });
      if (isDialled) return;
      // It may throw, or return something else than a stream.
      Promise.resolve()
        .then(() => protocol.connect?.(where, target, this.#node))
        .then((duplex) => this.#table.open(duplex as Duplex, { protocol: name, dialled: address }))
        .catch((error: unknown) => this.onFailed(address, name, thrownText(error)));
    });
  }

  forget(way: LinkWay): void {
    this.#waiting.delete(way);
  }

  #attach(end: DiallingEnd, stream: PairStream): void {
    if (end.hasEnded) return;
    if (!stream.isOpen) {
      end.onEnd("the stream has ended");
      return;
    }
    this.#endsOf(stream).out?.onEnd("another connection took its place");
    // The program, which hears of that, may have closed this end or the stream.
    if (end.hasEnded || !stream.isOpen) {
      this.#attach(end, stream);
      return;
    }
    this.#endsOf(stream).out = end;
    end.stream = stream;
    stream.users += 1;
    end.onOpen();
  }

  /**
   * A stream is a receiving end's from now on, and its stream of before is not. Greetings by two streams may come in the
   * other order: a sending end that still has the stream of before waits for acknowledgements, and greets again.
   */
  take(stream: PairStream, receiving: ReceivingEnd): void {
    if (receiving.stream === stream) return;
    if (receiving.stream !== undefined) this.refuse(receiving.stream, "no-hello");
    this.#endsOf(stream).in = receiving;
    receiving.stream = stream;
  }

  /** It gives its stream up, or the wait for one. */
  drop(end: LinkEnd): void {
    const { stream } = end;
    if (stream === undefined) {
      this.forget(end as DiallingEnd);
      return;
    }
    end.stream = undefined;
    const ends = this.#ends.get(stream);
    if (ends?.in === end) ends.in = undefined;
    if (ends?.out !== end) return;
    ends.out = undefined;
    stream.users -= 1;
  }

  #endsOf(stream: PairStream): Ends {
    let ends = this.#ends.get(stream);
    if (ends === undefined) {
      ends = { out: undefined, in: undefined };
      this.#ends.set(stream, ends);
    }
    return ends;
  }

  /**
   * To a greeting, or an item without a link. A peer that greets without reading would get unbounded answers.
   *
   * @returns whether there was room
   */
  answer(stream: PairStream, ...frames: readonly Uint8Array[]): boolean {
    if (stream.isFull) return false;
    stream.sendMessages(this.#codec, frames);
    return true;
  }

  /** The sending end learns why, and the receiving one gives the stream up. */
  refuse(stream: PairStream, reason: string): void {
    this.answer(stream, encodeRefused(reason));
    const receiving = this.#ends.get(stream)?.in;
    if (receiving !== undefined) this.drop(receiving);
  }

  #waitersFor(address: string, protocol: string): [LinkWay, StreamWaiter][] {
    return [...this.#waiting].filter(
      ([way, waiter]) => waiter.address === address && way.protocol.name === protocol,
    );
  }

  onUp(stream: PairStream): void {
    for (const [way, waiter] of this.#waitersFor(stream.address, stream.protocol))
      if (stream.isFor(way.target.id) && this.#waiting.delete(way)) waiter.resolve(stream);
  }

  onFailed(address: string, protocol: string, reason: string): void {
    for (const [way, waiter] of this.#waitersFor(address, protocol))
      if (this.#waiting.delete(way)) waiter.reject(new TransportError("ERR_TRANSPORT", reason));
  }

  onEnd(stream: PairStream, reason: string): void {
    const ends = this.#ends.get(stream);
    this.#ends.delete(stream);
    ends?.out?.onEnd(reason);
    if (ends?.in !== undefined) this.drop(ends.in);
  }

  /** @returns whether the frame was taken */
  onMessages(stream: PairStream, frame: Buffer): boolean {
    const type = frame[0];
    if (type === undefined) return false;
    const ends = this.#ends.get(stream);
    if (type === LinkFrame.ACK || type === LinkFrame.REFUSED) {
      const out = ends?.out;
      if (out === undefined || stream.isFor(out.target.id)) out?.onFrame(frame);
      else out.onEnd("another node has the address");
      return true;
    }
    const links = this.#responder;
    if (links === undefined) return false;
    const receiving = ends?.in;
    if (type === LinkFrame.ITEM) links.onLooseItem(stream, frame);
    else if (receiving !== undefined && type === LinkFrame.BATCH) receiving.onFrame(frame);
    else if (receiving !== undefined || type === LinkFrame.HELLO) links.onHello(stream, frame, receiving?.id);
    // This end has given the link up: it begins again with a greeting.
    else this.refuse(stream, "no-hello");
    return true;
  }
}
