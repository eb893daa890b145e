/**
 * A protocol creates byte streams between nodes. The node adds proof of identity, membership and messages (net/stream.ts).
 *
 *   listen ──> advertised in the node's details ──> connect, by other nodes ──> a stream
 */
import type { Duplex } from "node:stream";

export interface DialTarget {
  /** 32 hexadecimal digits. */
  readonly id: string;
  readonly host: string;
  /** "host:port". */
  readonly address: string;
  /** Whether it is on this host. */
  readonly local: boolean;
}

export interface ProtocolHost {
  readonly bus: string;
  readonly id: string;
  /** Host to bind: 127.0.0.1, an address, or "*". */
  readonly host: string;
  /** Ports to use, "FIRST-LAST"; `undefined`: any. */
  readonly ports: string | undefined;
}

export interface ProtocolListener {
  /** Address for other nodes to dial: at most 128 bytes without ";". */
  readonly advert: string;
  close(linger: number): Promise<void>;
}

/** Made by {@link streamProtocol}. */
export interface MessageProtocol {
  /** 1 to 16 lower-case letters and digits. */
  readonly name: string;
  /** Whether it may reach a node, without using the network. */
  reaches(target: DialTarget): boolean;
  /**
   * Listens, and calls `accept` with each stream.
   *
   * @throws anything: reported as `protocol:failed`
   */
  listen(accept: (stream: Duplex) => void, host: ProtocolHost): Promise<ProtocolListener>;
  /** Opens a stream. @param where `advert` of the other node's listener */
  connect(where: string, target: DialTarget, host: ProtocolHost): Promise<Duplex>;
}

/** Events of one end of a connection, after the caller has it. Calls never throw. */
export interface ConnectionEvents {
  /** Called once, first; not for an accepted connection. */
  onOpen(): void;
  /** @param frame never changed afterwards */
  onMessage(frame: Buffer): void;
  /** Called once, last. */
  onClose(reason: string): void;
}

/** One direction of a link over a stream. */
export interface MessageConnection {
  /** Proved id of the other node; `undefined` if nodes have no keys. */
  readonly nodeId?: string | undefined;
  /** IP address of the other end, for reports. */
  readonly address?: string | undefined;
  /** Whether sent memory may be reused after its acknowledgement. Default `false`. */
  readonly copiesSent?: boolean | undefined;
  /** Whether the other end has not taken sent bytes for long. Default `false`. */
  readonly isFull?: boolean | undefined;
  /** The bytes must not change before their acknowledgement. */
  send(frames: readonly Uint8Array[]): void;
  /** Closes without `onClose`. */
  close(): void;
}

/** Services of links for a protocol. */
export interface LinkHost {
  /** Which of a peer's links a connection is for (links.ts). Default 0. */
  readonly lane?: number | undefined;
  /** ms without an answer after which the other end is asked, and after as many again given up. */
  readonly heartbeat: number;
  accept(connection: MessageConnection): ConnectionEvents;
}

/** Whole messages, in order. */
export interface LinkProtocol {
  readonly name: string;
  reaches(target: DialTarget): boolean;
  listen(host: LinkHost): Promise<ProtocolListener>;
  /** Never throws. */
  dial(where: string, target: DialTarget, host: LinkHost, events: ConnectionEvents): MessageConnection;
}
