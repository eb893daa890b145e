/**
 * A way to carry messages between two nodes: tcp, ipc, ws and tls (zmtp-protocol.ts), or one that a program brings. A protocol opens
 * connections and moves messages of one or two frames, in order, whole or not at all; a connection that loses one ends. Sessions,
 * acknowledgements and what is sent again are the links' (links.ts).
 *
 *   listen ──> advertised in the node's details ──> dial, by the others ──onOpen──> messages ──onClose
 */

/** Who is at the other end, as far as the membership knows. */
export interface DialTarget {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Where the node is reached: an IP address. */
  readonly host: string;
  /** Whether it is on this host. */
  readonly local: boolean;
  /** What it advertises of its keys; for {@link LinkSecurity}. */
  readonly keys: string;
}

/** What one end of a connection reports. None of the calls throws. */
export interface ConnectionEvents {
  /** Messages may be sent; once, before anything else. Of an accepted connection it was open from the start. */
  onOpen(): void;
  /** A message came: 1 or 2 frames, which are never changed afterwards. */
  onMessage(frames: readonly Buffer[]): void;
  /** It ended, or did not come about. Once, and nothing after it. */
  onClose(reason: string): void;
}

/** One end of a connection. */
export interface MessageConnection {
  /** Z85: the key that the other end proved; `undefined` where keys are not this protocol's affair. */
  readonly publicKey: string | undefined;
  /** Where the other end of one that came is, without a port, for reports; absent where that is not known. */
  readonly address?: string | undefined;
  /**
   * Whether nothing at this end reads a message any more when the other end has acknowledged it, as where the system has a copy: its
   * memory is used again then. Default `false`: it never is.
   */
  readonly copiesSent?: boolean | undefined;
  /** Takes a message; its bytes are not changed before they are acknowledged. What cannot be sent ends the connection. */
  send(frames: readonly Uint8Array[]): void;
  /** Ends it, without `onClose`. @param linger ms that what was sent may take to leave */
  close(linger: number): void;
}

/** What a listener needs of the links. */
export interface ProtocolHost {
  /** Name of the bus, and of the node. */
  readonly bus: string;
  readonly id: string;
  /** Where to bind: 127.0.0.1, an address, or "*". */
  readonly host: string;
  /** Ports to use, "FIRST-LAST"; `undefined`: any. */
  readonly ports: string | undefined;
  /** `undefined`: the bus has no key. */
  readonly security: LinkSecurity | undefined;
  /** Bytes of a frame, at most. */
  readonly maxFrame: number;
  /** ms without an answer to what was sent after which a connection that was dialled finds out whether its other end is there. */
  readonly heartbeat: number;
  /** A peer has connected. */
  accept(connection: MessageConnection): ConnectionEvents;
}

export interface ProtocolListener {
  /** What others dial, as a text of at most 128 bytes without ";". */
  readonly advert: string;
  /**
   * Whether it can still be connected to. Asked where other nodes fail to reach this one: with `false` the listener is closed, and another one
   * opened in its place. Absent: always.
   */
  isOpen?(): Promise<boolean>;
  /** The keys have changed: connections of keys that are not accepted any more end. */
  rekeyed?(): void;
  close(linger: number): Promise<void>;
}

/** A protocol. A program's own is given as `{ messaging: { protocols: [mine, "ipc", "tcp"] } }`. */
export interface MessageProtocol {
  /** 1 to 16 lower-case letters and digits: both ends know it by that. */
  readonly name: string;
  /**
   * Whether nobody who lacks the bus's key can read what it carries, or connect: a bus with a key takes no other protocol. It has
   * the keys from `ProtocolHost.security`.
   */
  readonly secure: boolean;
  /**
   * Whether a connection has the key that the other end proved (`publicKey`). Default `true`. With `false` a bus with a key relies on `secure` alone,
   * and a node with a key of its own (`curve`) does not take the protocol.
   */
  readonly provesKeys?: boolean | undefined;
  /** Whether such a node may be reached by it; without asking the network. */
  reaches(target: DialTarget): boolean;
  /** @throws what it throws is reported, and the protocol is not advertised */
  listen(host: ProtocolHost): Promise<ProtocolListener>;
  dial(advert: string, target: DialTarget, host: ProtocolHost, events: ConnectionEvents): MessageConnection;
}

/** Key pairs of connections; Z85 texts. security.ts derives them. */
export interface LinkSecurity {
  /** What the node advertises of its keys. */
  readonly advert: string;
  /** Of the end that listens. */
  readonly server: KeyPairText;
  /** The pair to dial with, and the key that the other end has to prove; `undefined`: no key is shared with it. */
  clientFor(target: DialTarget): { readonly pair: KeyPairText; readonly serverKey: string } | undefined;
  /** Whether a peer with this key may connect. */
  accepts(publicKey: string): boolean;
  /** Whether a peer that proved this key, or `undefined`, may be the member of this id. */
  isOf(publicKey: string | undefined, target: DialTarget): boolean | Promise<boolean>;
}

export interface KeyPairText {
  readonly publicKey: string;
  readonly secretKey: string;
}
