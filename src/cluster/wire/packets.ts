/**
 * Packets and updates: plain objects of one shape each, immutable once sent. A packet has a header (the sender, its
 * incarnation, and the hash of its view), the fields of its type, and updates: piggybacked statements about members.
 */

import { sizeOfText } from "../compact.js";
import type { Details } from "../details.js";

/** As on the wire. */
export const PacketType = {
  /** Asks whether a node is alive: `seq`, `target` (short id; 0: any node). */
  PING: 1,
  /** Answers a ping: its `seq`; `flags`. */
  ACK: 2,
  /** Asks to ping a member: `seq`, `about`, `address`. */
  PING_REQ: 3,
  /** The member of a PING_REQ has not answered yet: `seq`. */
  NACK: 4,
  GOSSIP: 5,
  /** The sender's own update, to a group or to a requester. */
  HEARTBEAT: 6,
  /** Asks members to report: `seq` answers are wanted (0: all), each after at most `target` ms. */
  DISCOVER: 7,
  /** The sender cannot reach `about`, which should give a sign of life. */
  EXPECT: 8,
  /** Hashes of the sender's membership view, in `buckets`. */
  SYNC: 9,
  /** Entries of differing buckets, as updates. The sender wants those of the buckets in `wanted`. */
  ENTRIES: 10,
  /** Data of messaging by datagram, to the group or to one member: `data`. */
  MESSAGE: 11,
} as const;
export type PacketType = (typeof PacketType)[keyof typeof PacketType];

export const AckFlag = {
  /** Answers a PING_REQ. */
  RELAYED: 1,
  /** The ping was for another node than the one at this address. */
  OTHER: 2,
} as const;

/** As on the wire. */
export const UpdateKind = { ALIVE: 1, SUSPECT: 2, DEAD: 3, LEFT: 4, REMOVAL: 5, DETAILS: 6 } as const;
export type UpdateKind = (typeof UpdateKind)[keyof typeof UpdateKind];

/** Unknown flags are kept and forwarded. */
export const AliveFlag = {
  DRAINING: 1,
  /** The process is older than the incarnation's start, so `processStart` is sent as well. */
  REJOINED: 2,
} as const;

/** As on the wire. */
export const DeathReason = {
  SILENT: 1,
  CONNECTION: 2,
  REPLACED: 3,
  TTL: 4,
} as const;
export type DeathReason = (typeof DeathReason)[keyof typeof DeathReason];

const NO_ACCUSERS: readonly number[] = [];

export interface MemberIncarnation {
  readonly id: string;
  readonly start: number;
  readonly count: number;
}

export interface AliveFields extends MemberIncarnation {
  readonly name: string;
  readonly address: string;
  /** Default 0. */
  readonly flags?: number;
  /** Version of its details. Default 0: no details. */
  readonly version?: number;
  /** First start of the process; a node that rejoins has a later `start`. Default: `start`. */
  readonly processStart?: number | undefined;
}

/** A statement about a member. Fields that a kind lacks are 0 or empty. */
export class Update implements Required<AliveFields> {
  readonly kind: UpdateKind;
  readonly id: string;
  /** For a removal, the time of its version. */
  readonly start: number;
  /** For a removal, the counter of its version; for details, their version. */
  readonly count: number;
  readonly name: string;
  readonly address: string;
  /** ALIVE: flags. DEAD: death reason. REMOVAL: 1 removed, 0 admitted. */
  readonly flags: number;
  readonly version: number;
  readonly processStart: number;
  /** SUSPECT, DEAD: short ids. */
  readonly accusers: readonly number[];
  /** Only for DETAILS. */
  readonly details: Details | undefined;
  /** Bytes on the wire, including the head of 3. */
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
    this.processStart = fields.processStart ?? 0;
  }

  static alive(given: AliveFields): Update {
    const { name, address, version = 0, processStart = given.start } = given;
    const hasRejoined = processStart !== given.start;
    const known = given.flags ?? 0;
    const flags = hasRejoined ? known | AliveFlag.REJOINED : known & ~AliveFlag.REJOINED;
    const size = (hasRejoined ? 40 : 34) + sizeOfText(name) + sizeOfText(address);
    const fields = { name, address, flags, version, processStart };
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

export type PacketHead = Pick<Packet, "type" | "from" | "start" | "count" | "digest">;

/** Missing fields are 0 or empty. */
export type PacketFields = Partial<Omit<Packet, keyof PacketHead>>;

export class Packet {
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
