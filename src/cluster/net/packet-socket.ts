/** What a node needs of its datagrams, whether the event loop reads them or a thread. */
import type { BusCodec } from "./bus-codec.js";
import type { Binding } from "./interfaces.js";

/** The group of a cluster's beats. */
export interface GroupAddress {
  readonly group: string;
  readonly port: number;
}

export interface DatagramOptions {
  /** Addresses to bind, one of each family; `undefined`: none. */
  readonly bind: Binding;
  readonly port: number;
  /** `undefined`: no multicast. */
  readonly group: GroupAddress | undefined;
  /** Addresses of the interfaces that the group is joined on at first; the first one sends from the node's own socket. */
  readonly interfaces: readonly string[];
  readonly ttl: number;
}

/** Called for each datagram. */
export type OnDatagram = (bytes: Buffer, host: string, port: number, byGroup: boolean) => void;

/** What a thread answers pings by while the event loop is busy: the last known incarnation and picture. */
export interface BeatState {
  readonly id: string;
  readonly start: number;
  readonly count: number;
  readonly digest: number;
  /** Whether it is a member that pings are to be answered for. */
  readonly answers: boolean;
}

export interface PacketSocket {
  /** @throws TransportError `EADDRINUSE` and the system's other codes */
  open(): Promise<void>;
  /** Whether the group can be reached. */
  readonly hasGroup: boolean;
  /** The interfaces as they are now: the group is joined where it is not joined yet. */
  setInterfaces(interfaces: readonly string[]): void;
  send(bytes: Buffer, host: string, port: number): void;
  multicast(bytes: Buffer): void;
  /** The state of a bus, after each change. */
  beat(codec: BusCodec, state: BeatState): void;
  /** The bus's keys changed. */
  rekey(codec: BusCodec): void;
  close(): Promise<void>;
}
