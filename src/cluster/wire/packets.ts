/**
 * Packets and updates as the rules have them: plain objects of one shape each, never changed once they are sent.
 *
 * A packet has a header (who sends it, in which incarnation, and the hash of its picture of the cluster), what its type
 * needs, and updates: statements about members that travel with any packet.
 */
import type { Details } from "../details.js";

/** What a packet is for. The numbers are the wire's. */
export const PacketType = {
  /** Are you there? `seq`, `target` (short id; 0: any node). */
  PING: 1,
  /** `seq` of the ping; `flags`. */
  ACK: 2,
  /** Ping a member for me: `seq`, `about`, `address`. */
  PING_REQ: 3,
  /** The member that I was asked to ping has not answered yet: `seq`. */
  NACK: 4,
  /** Updates only. */
  GOSSIP: 5,
  /** A beat: the sender's own update, to a group or to whom asked. */
  HEARTBEAT: 6,
  /** Report to me: `seq` answers are wanted (0: all), each after at most `target` ms. */
  DISCOVER: 7,
  /** I failed to reach `about`: it should give a sign of life, or be given up (self-healing ping). */
  EXPECT: 8,
  /** The hashes of the sender's picture, in `buckets`. */
  SYNC: 9,
  /** Entries of buckets that differ, as update; the sender wants those of the buckets in `wanted`. */
  ENTRIES: 10,
  /** What messaging sends by datagram, to the group or to one member: `data`. Of level 2. */
  MESSAGE: 11,
} as const;
export type PacketType = (typeof PacketType)[keyof typeof PacketType];

/** Flags of an ack. */
export const ACK_RELAYED = 1;
/** The ping was for another node than the one that is at this address. */
export const ACK_OTHER = 2;

/** Which statement an update is. The numbers are the wire's. */
export const UpdateKind = { ALIVE: 1, SUSPECT: 2, DEAD: 3, LEFT: 4, REMOVAL: 5, DETAILS: 6 } as const;
export type UpdateKind = (typeof UpdateKind)[keyof typeof UpdateKind];

/** The level of the packets and updates that this version knows: docs/spec/cluster.md, Versions. */
export const LEVEL = 2;
/** That of a node that knows MESSAGE. */
export const MESSAGE_LEVEL = 2;

/** Flags of an alive; those that are not known here are kept and passed on. */
export const ALIVE_DRAINING = 1;
/** The process is older than the incarnation's start: `processStart` travels as well. */
export const ALIVE_REJOINED = 2;

/** Why a member is dead. The numbers are the wire's. */
export const DeathReason = {
  SILENT: 1,
  CONNECTION: 2,
  REPLACED: 3,
  TTL: 4,
} as const;
export type DeathReason = (typeof DeathReason)[keyof typeof DeathReason];

const NO_ACCUSERS: readonly number[] = [];

/** Whom a statement is about: a member in one of its incarnations. */
export interface MemberIncarnation {
  readonly id: string;
  readonly start: number;
  readonly count: number;
}

/** What a node states of itself. */
export interface AliveFields extends MemberIncarnation {
  readonly name: string;
  /** Where its packets go. */
  readonly address: string;
  /** Default 0. */
  readonly flags?: number;
  /** The version of its details. Default 0: it has none. */
  readonly version?: number;
  /** What the node speaks (codec.ts). Default: this version's. */
  readonly level?: number;
  /** The first start of the process. A node that rejoins has a later start in the same process. Default: `start`. */
  readonly processStart?: number | undefined;
}

/** A statement about a member. What a kind does not have is 0 or empty. */
export class Update implements Required<AliveFields> {
  readonly kind: UpdateKind;
  readonly id: string;
  /** Of the incarnation; of a removal, its version's time. */
  readonly start: number;
  /** Of the incarnation; of a removal, its version's counter; of details, their version. */
  readonly count: number;
  readonly name: string;
  readonly address: string;
  /** ALIVE: flags. DEAD: the reason. REMOVAL: 1 removed, 0 admitted. */
  readonly flags: number;
  readonly version: number;
  readonly level: number;
  readonly processStart: number;
  /** SUSPECT, DEAD: short ids. */
  readonly accusers: readonly number[];
  /** DETAILS. */
  readonly details: Details | undefined;
  /** Bytes on the wire, with the head of 3. */
  readonly size: number;

  private constructor(
    kind: UpdateKind,
    size: number,
    { id, start, count }: MemberIncarnation,
    fields: Partial<Omit<Update, "kind" | "size" | keyof MemberIncarnation>> = {},
  ) {
    this.kind = kind;
    this.id = id;
    this.start = start;
    this.count = count;
    this.name = fields.name ?? "";
    this.address = fields.address ?? "";
    this.flags = fields.flags ?? 0;
    this.version = fields.version ?? 0;
    this.accusers = fields.accusers ?? NO_ACCUSERS;
    this.details = fields.details;
    this.size = size;
    this.level = fields.level ?? 0;
    this.processStart = fields.processStart ?? 0;
  }

  static alive(given: AliveFields): Update {
    const { name, address, version = 0, level = LEVEL, processStart = given.start } = given;
    const hasRejoined = processStart !== given.start;
    const known = given.flags ?? 0;
    const flags = hasRejoined ? known | ALIVE_REJOINED : known & ~ALIVE_REJOINED;
    const size = (hasRejoined ? 43 : 37) + Buffer.byteLength(name) + Buffer.byteLength(address);
    const fields = { name, address, flags, version, level, processStart };
    return new Update(UpdateKind.ALIVE, size, given, fields);
  }

  static suspect(about: MemberIncarnation, accusers: readonly number[]): Update {
    return new Update(UpdateKind.SUSPECT, 30 + 4 * accusers.length, about, { accusers });
  }

  /** @param accuser short id; 0: unknown */
  static dead(about: MemberIncarnation, reason: number, accuser: number): Update {
    return new Update(UpdateKind.DEAD, 34, about, { flags: reason, accusers: [accuser] });
  }

  static left(about: MemberIncarnation): Update {
    return new Update(UpdateKind.LEFT, 29, about);
  }

  static removal(id: string, time: number, counter: number, removed: boolean): Update {
    const version = { id, start: time, count: counter };
    return new Update(UpdateKind.REMOVAL, 30, version, { flags: removed ? 1 : 0 });
  }

  /** @param details with the bytes that they take (details.ts) */
  static details(id: string, start: number, details: Details): Update {
    return new Update(
      UpdateKind.DETAILS,
      29 + details.size,
      { id, start, count: details.version },
      { details },
    );
  }
}

export const NO_UPDATES: readonly Update[] = [];

/** Who sends a packet. */
export interface PacketHead {
  readonly type: PacketType;
  /** The sender's id. */
  readonly from: string;
  /** The sender's incarnation. */
  readonly start: number;
  readonly count: number;
  /** The hash of the sender's view of the cluster. */
  readonly digest: number;
}

/** What a packet has by its type. What is left out is 0 or empty. */
export interface PacketFields {
  readonly seq?: number;
  readonly target?: number;
  readonly flags?: number;
  readonly about?: string;
  readonly address?: string;
  readonly buckets?: Uint32Array | undefined;
  readonly wanted?: readonly [number, number] | undefined;
  readonly updates?: readonly Update[];
  readonly data?: Uint8Array | undefined;
}

export class Packet implements PacketHead {
  readonly type: PacketType;
  readonly from: string;
  readonly start: number;
  readonly count: number;
  readonly digest: number;
  readonly seq: number;
  readonly target: number;
  readonly flags: number;
  readonly about: string;
  readonly address: string;
  readonly buckets: Uint32Array | undefined;
  readonly wanted: readonly [number, number] | undefined;
  readonly updates: readonly Update[];
  readonly data: Uint8Array | undefined;

  constructor({ type, from, start, count, digest }: PacketHead, fields: PacketFields = {}) {
    this.type = type;
    this.from = from;
    this.start = start;
    this.count = count;
    this.digest = digest;
    this.seq = fields.seq ?? 0;
    this.target = fields.target ?? 0;
    this.flags = fields.flags ?? 0;
    this.about = fields.about ?? "";
    this.address = fields.address ?? "";
    this.buckets = fields.buckets;
    this.wanted = fields.wanted;
    this.updates = fields.updates ?? NO_UPDATES;
    this.data = fields.data;
  }
}
