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
  /** Name of the cluster. */
  readonly cluster: string;
  readonly id: string;
  /** Host to bind: 127.0.0.1, an address, or "*". */
  readonly host: string;
  /** Ports to use, "FIRST-LAST"; `undefined`: any. */
  readonly ports: string | undefined;
}

export interface ProtocolListener {
  /** Address for other nodes to dial: a well-formed text of at most 128 bytes without ";". */
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
   * Listens, and calls `accept` with each stream. The node starts without the protocol after 10 s.
   *
   * @throws anything: reported as `protocol:failed`
   */
  listen(accept: (stream: Duplex) => void, host: ProtocolHost): Promise<ProtocolListener>;
  /** Opens a stream. @param where `advert` of the other node's listener */
  connect(where: string, target: DialTarget, host: ProtocolHost): Promise<Duplex>;
}
