/**
 * Messages of a cluster over the streams of its node. Membership and messages share one stream for each pair of nodes.
 *
 *   this node's Sending ──out──┐                        ┌──in──> Caller, Receiving
 *                              stream to a node, per bus
 *   Caller, Receiving <──in────┘                        └──out── the other node's Sending
 *
 * HELLO, BATCH and ITEM go to the other node's `in`; WELCOME, ACK and REFUSED to its `out`.
 */

import type { Duplex } from "node:stream";
import { thrownText } from "../../core/arguments.js";
import { joinAddress } from "../net/addresses.js";
import type { BusCodec } from "../net/bus-codec.js";
import { MAX_LANES } from "./bounds.js";
import type {
  ConnectionEvents,
  LinkHost,
  LinkProtocol,
  MessageConnection,
  MessageProtocol,
  ProtocolHost,
  ProtocolListener,
} from "./protocol.js";
import { encodeRefused, LinkFrame } from "./wire.js";

/** Maximum bytes around an item in a frame of a stream: prefix, seal, lane, headers. */
const MAX_OVERHEAD = 256;
/** Lanes as the first byte of a message. */
const LANES = Array.from({ length: MAX_LANES + 1 }, (_, lane) => Buffer.of(lane));

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
  /** Whether messages for a node may use it: a node that dialled only claims its address. */
  isFor(id: string): boolean;
  readonly isOpen: boolean;
  /** Whether the other end has not taken sent bytes for long. */
  readonly isFull: boolean;
  /** Connections; without any it may be closed as idle. */
  users: number;
  sendMessages(codec: BusCodec, frames: readonly Uint8Array[]): void;
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
  /** Makes a stream of a duplex; `onUp` or `onFailed` follows. @param dialled the dialled address, if any */
  open(duplex: Duplex, protocol: string, dialled: string | undefined): void;
}

/** The stream that a connection waits for. */
interface Wanted {
  readonly protocol: string;
  readonly address: string;
  readonly peer: string;
}

/** Connections of one cluster and one lane over one stream. */
interface Ends {
  out: PairConnection | undefined;
  in: PairConnection | undefined;
}

export class PairStreams {
  readonly maxFrame: number;
  readonly #table: PairStreamTable;
  readonly #codec: BusCodec;
  readonly #ends = new Map<PairStream, Ends[]>();
  /** Connections that wait for a stream, by protocol and address. */
  readonly #waiting = new Map<string, Set<PairConnection>>();
  readonly #hosts = new Map<string, LinkHost>();

  /** @param maxItem bytes of an item */
  constructor(table: PairStreamTable, codec: BusCodec, maxItem: number) {
    this.#table = table;
    this.#codec = codec;
    this.maxFrame = maxItem + MAX_OVERHEAD;
  }

  ownProtocol(): LinkProtocol {
    const { scheme } = this.#table;
    return {
      name: scheme,
      reaches: ({ host }) => host !== "",
      listen: async (host) => {
        await this.#codec.load();
        const { ownAddress } = this.#table;
        return this.#listener(scheme, host, { advert: ownAddress.slice(ownAddress.lastIndexOf(":") + 1) });
      },
      dial: (port, target, host, events) =>
        this.#dial(
          { protocol: scheme, peer: target.id, address: joinAddress(target.host, Number(port)) },
          host,
          events,
        ),
    };
  }

  /** A protocol that makes separate streams. */
  over(protocol: MessageProtocol, node: ProtocolHost): LinkProtocol {
    const { name } = protocol;
    return {
      name,
      reaches: (target) => protocol.reaches(target),
      listen: async (host) => {
        await this.#codec.load();
        const accept = (stream: Duplex): void => this.#table.open(stream, name, undefined);
        return this.#listener(name, host, await protocol.listen(accept, node));
      },
      dial: (where, target, host, events) =>
        this.#dial({ protocol: name, peer: target.id, address: target.address }, host, events, () =>
          protocol.connect(where, target, node),
        ),
    };
  }

  #listener(name: string, host: LinkHost, listener: Partial<ProtocolListener>): ProtocolListener {
    this.#hosts.set(name, host);
    return {
      ...listener,
      advert: listener.advert as string,
      close: async (linger) => {
        this.#hosts.delete(name);
        for (const [stream] of this.#ends) if (stream.protocol === name) this.onEnd(stream, "closed");
        await listener.close?.(linger);
      },
    };
  }

  /** @param connect opens a stream; `undefined`: the node does */
  #dial(
    wanted: Wanted,
    host: LinkHost,
    events: ConnectionEvents,
    connect?: () => Promise<Duplex>,
  ): MessageConnection {
    const { protocol, address, peer } = wanted;
    const connection = new PairConnection(this, this.#codec, host, wanted);
    connection.events = events;
    const stream = this.#table.streamTo(address, protocol, peer);
    // The caller has the connection before it is open.
    if (stream !== undefined) {
      queueMicrotask(() => this.#attach(connection, stream));
      return connection;
    }
    const key = keyOf(wanted);
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting.add(connection));
    // It may throw, or return something else than a stream.
    if (connect !== undefined)
      Promise.resolve()
        .then(connect)
        .then((duplex) => this.#table.open(duplex, protocol, address))
        .catch((error: unknown) => this.onFailed(address, protocol, thrownText(error)));
    return connection;
  }

  #attach(connection: PairConnection, stream: PairStream): void {
    if (connection.isOver) return;
    if (!stream.isOpen) {
      connection.ended("the stream has ended");
      return;
    }
    const loading = this.#codec.load();
    if (loading !== undefined) {
      const failed = (error: unknown): void => connection.ended(thrownText(error));
      loading.then(() => this.#attach(connection, stream), failed);
      return;
    }
    const ends = this.#endsOf(stream, connection.lane);
    ends.out?.ended("another connection took its place");
    ends.out = connection;
    connection.attach(stream);
    connection.events?.onOpen();
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

  onUp(stream: PairStream): void {
    const key = keyOf(stream);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    for (const connection of waiting) {
      if (connection.wanted !== undefined && !stream.isFor(connection.wanted.peer)) continue;
      waiting.delete(connection);
      this.#attach(connection, stream);
    }
    if (waiting.size === 0) this.#waiting.delete(key);
  }

  onFailed(address: string, protocol: string, reason: string): void {
    const key = keyOf({ protocol, address });
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return;
    this.#waiting.delete(key);
    for (const connection of waiting) connection.ended(reason);
  }

  onEnd(stream: PairStream, reason: string): void {
    const lanes = this.#ends.get(stream);
    this.#ends.delete(stream);
    for (const ends of lanes ?? []) {
      ends?.out?.ended(reason);
      ends?.in?.ended(reason);
    }
  }

  /** @returns whether a connection took the bytes */
  onMessages(stream: PairStream, bytes: Buffer): boolean {
    const lane = bytes[0] ?? MAX_LANES + 1;
    const body = bytes.subarray(1);
    const type = body[0];
    if (lane > MAX_LANES) return false;
    if (type === LinkFrame.WELCOME || type === LinkFrame.ACK || type === LinkFrame.REFUSED) {
      this.#ends.get(stream)?.[lane]?.out?.events?.onMessage(body);
      return true;
    }
    const host = this.#hosts.get(stream.protocol);
    if (host === undefined) return false;
    const ends = this.#endsOf(stream, lane);
    if (ends.in === undefined) {
      if (type !== LinkFrame.HELLO) {
        // This end has given the link up: it begins again with a greeting.
        if (!stream.isFull)
          stream.sendMessages(this.#codec, [LANES[lane] as Buffer, encodeRefused("no-hello")]);
        return true;
      }
      const connection = new PairConnection(this, this.#codec, { lane, heartbeat: 0 });
      ends.in = connection;
      connection.attach(stream);
      connection.events = host.accept(connection);
    }
    ends.in.events?.onMessage(body);
    return true;
  }

  /** @internal A connection gives its stream up, or the wait for one. */
  detach(connection: PairConnection): void {
    const { stream, wanted } = connection;
    if (stream === undefined) {
      if (wanted === undefined) return;
      const key = keyOf(wanted);
      const waiting = this.#waiting.get(key);
      waiting?.delete(connection);
      if (waiting?.size === 0) this.#waiting.delete(key);
      return;
    }
    const ends = this.#ends.get(stream)?.[connection.lane];
    if (ends?.out === connection) ends.out = undefined;
    if (ends?.in === connection) ends.in = undefined;
  }
}

class PairConnection implements MessageConnection {
  /** `undefined`: the stream came. */
  readonly wanted: Wanted | undefined;
  events: ConnectionEvents | undefined = undefined;
  stream: PairStream | undefined = undefined;
  isOver = false;
  readonly lane: number;
  readonly #streams: PairStreams;
  readonly #codec: BusCodec;
  /** ms; 0: the receiving end, which awaits nothing. */
  readonly #heartbeat: number;

  constructor(
    streams: PairStreams,
    codec: BusCodec,
    { lane = 0, heartbeat }: Pick<LinkHost, "lane" | "heartbeat">,
    wanted?: Wanted,
  ) {
    this.wanted = wanted;
    this.lane = lane;
    this.#streams = streams;
    this.#codec = codec;
    this.#heartbeat = heartbeat;
  }

  get address(): string | undefined {
    return this.stream?.remote;
  }

  get nodeId(): string | undefined {
    return this.stream?.node?.id;
  }

  get copiesSent(): boolean {
    return this.stream?.copiesSent === true;
  }

  get isFull(): boolean {
    return this.stream?.isFull === true;
  }

  attach(stream: PairStream): void {
    this.stream = stream;
    stream.users += 1;
  }

  send(frames: readonly Uint8Array[]): void {
    const { stream } = this;
    if (stream === undefined || this.isOver) return;
    // A peer that greets without reading would get unbounded answers.
    const type = frames[0]?.[0];
    if (stream.isFull && (type === LinkFrame.WELCOME || type === LinkFrame.REFUSED)) return;
    stream.sendMessages(this.#codec, [LANES[this.lane] as Buffer, ...frames]);
    if (this.#heartbeat > 0) stream.expectAnswer(this.#heartbeat);
  }

  close(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.events = undefined;
    this.#streams.detach(this);
    if (this.stream !== undefined) this.stream.users -= 1;
  }

  ended(reason: string): void {
    const { events } = this;
    if (this.isOver) return;
    this.close();
    events?.onClose(reason);
  }
}

function keyOf({ protocol, address }: Pick<Wanted, "protocol" | "address">): string {
  return `${protocol} ${address}`;
}
