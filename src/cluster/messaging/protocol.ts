/**
 * A protocol makes the byte streams between nodes: the node's own port, ipc, or one that a program brings. Proof of identity,
 * membership and messages on a stream are the node's (net/link.ts).
 *
 *   listen ──> advertised in the node's details ──> connect, by the others ──> a stream
 */
import type { Duplex } from "node:stream";

/** A node that is dialled, as far as the membership knows it. */
export interface DialTarget {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** IP address of the node. */
  readonly host: string;
  /** Its address, "host:port". */
  readonly address: string;
  /** Whether it is on this host. */
  readonly local: boolean;
}

/** The node that listens or dials. */
export interface ProtocolHost {
  /** Name of the cluster. */
  readonly bus: string;
  /** Id of the node. */
  readonly id: string;
  /** Where to bind: 127.0.0.1, an address, or "*". */
  readonly host: string;
  /** Ports to use, "FIRST-LAST"; `undefined`: any. */
  readonly ports: string | undefined;
}

export interface ProtocolListener {
  /** What others dial, at most 128 bytes without ";". */
  readonly advert: string;
  /**
   * Whether it can still be connected to, asked when other nodes fail to reach this one: with `false` the listener is closed, and
   * another one opened in its place. Absent: always.
   */
  isOpen?(): Promise<boolean>;
  close(linger: number): Promise<void>;
}

/** A protocol of a program, made by {@link streamProtocol}. */
export interface MessageProtocol {
  /** 1 to 16 lower-case letters and digits, equal at both ends. */
  readonly name: string;
  /** Whether it may reach a node; without asking the network. */
  reaches(target: DialTarget): boolean;
  /**
   * Listens, and calls `accept` with each stream.
   *
   * @throws anything: reported as `protocol:failed`, and the protocol is not advertised
   */
  listen(accept: (stream: Duplex) => void, host: ProtocolHost): Promise<ProtocolListener>;
  /** Opens a stream. @param where `advert` of the other node's listener */
  connect(where: string, target: DialTarget, host: ProtocolHost): Promise<Duplex>;
}

/** What one end of a connection reports. None of the calls throws. */
export interface ConnectionEvents {
  /** Messages may be sent; once, before anything else. An accepted connection is open from the start. */
  onOpen(): void;
  /** 1 or 2 frames, never changed afterwards. */
  onMessage(frames: readonly Buffer[]): void;
  /** It ended, or did not come about. Once, and nothing after it. */
  onClose(reason: string): void;
}

/** One direction of a link over a stream. */
export interface MessageConnection {
  /** Id of the node that the other end has proved to be; `undefined`: nodes have no keys of their own. */
  readonly nodeId?: string | undefined;
  /** IP address of the other end of an accepted connection, for reports. */
  readonly address?: string | undefined;
  /** Whether the memory of a sent message may be used again once the other end has acknowledged it. Default `false`. */
  readonly copiesSent?: boolean | undefined;
  /** Takes a message, whose bytes are not changed before they are acknowledged. What cannot be sent ends the connection. */
  send(frames: readonly Uint8Array[]): void;
  /** Ends it, without `onClose`. @param linger ms for sent messages to leave */
  close(linger: number): void;
}

/** What a protocol needs of the links. */
export interface LinkHost {
  /** Which of its links to a peer a connection is for (links.ts). Default 0. */
  readonly lane?: number | undefined;
  /** ms without an answer to sent messages after which the other end is asked, and given up after as many again. */
  readonly heartbeat: number;
  /** A peer has connected. */
  accept(connection: MessageConnection): ConnectionEvents;
}

/** A protocol as links see it: messages, in order, whole or not at all; a connection that loses one ends. */
export interface LinkProtocol {
  readonly name: string;
  reaches(target: DialTarget): boolean;
  listen(host: LinkHost): Promise<ProtocolListener>;
  dial(where: string, target: DialTarget, host: LinkHost, events: ConnectionEvents): MessageConnection;
}
