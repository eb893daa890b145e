/**
 * Messages by datagram: one to the bus's group for many services, which each acknowledge it; a link has it for who does not.
 *
 *   datagram  filter | item (service-wire.ts), with an id
 *   filter    count uint, as many short ids of 4 bytes: who is meant; 0: all, those that the sender does not know among them
 *
 *   datagram to the group ──receipt within RECEIPT_WAIT──> sent
 *                         └──none──> not reached: by its link, and for DEAF_TIME by its link at once
 *
 * A service takes an item once, however often it comes and by which way: SeenIds knows those that it had. One that cannot take more
 * gives no receipt, so what comes next comes by its link, which waits.
 */
import type { Service } from "../node/service.js";
import { MAX_GROUP_TARGETS, MAX_SEEN_IDS } from "./bounds.js";
import { Reader, sizeOfUint, writeUint } from "./schema.js";
import { encodeService, ServiceOp } from "./service-wire.js";

/** ms that receipts are waited for. */
const RECEIPT_WAIT = 100;
/** ms for which a service that gave no receipt is not sent datagrams. */
const DEAF_TIME = 60_000;

/** The bus's group, as messaging uses it. */
export interface GroupMeans {
  /** Bytes of a datagram at most; 0: there is no group, or a live member does not know such datagrams. */
  room(): number;
  multicast(data: Buffer): void;
  /** To one live member. */
  unicast(id: string, data: Buffer): void;
}

interface Waiting {
  readonly ids: Set<string>;
  readonly resolve: () => void;
}

export class GroupSends {
  readonly #group: GroupMeans;
  readonly #self: () => string;
  readonly #waiting = new Map<number, Waiting>();
  /** Until when services are taken for out of reach of datagrams. */
  readonly #deaf = new Map<string, number>();

  constructor(group: GroupMeans, self: () => string) {
    this.#group = group;
    this.#self = self;
  }

  /** Whether a service acknowledges datagrams, as far as is known. */
  reaches(id: string): boolean {
    const until = this.#deaf.get(id);
    if (until === undefined) return true;
    if (performance.now() < until) return false;
    this.#deaf.delete(id);
    return true;
  }

  /** Whether an item of so many bytes fits one datagram to at least one service. */
  fits(size: number): boolean {
    return size + 1 + SHORT <= this.#group.room();
  }

  /**
   * Sends an item to services.
   *
   * @param others the live members: two whose short ids are the same are not sent datagrams
   * @param isForAll also for members that are not known here yet
   * @returns the ids of those who acknowledged it
   */
  async send(
    number: number,
    item: Buffer,
    services: readonly Service[],
    others: readonly Service[],
    isForAll: boolean,
  ): Promise<ReadonlySet<string>> {
    const shorts = new Map<string, number>();
    for (const { id } of others) shorts.set(shortOf(id), (shorts.get(shortOf(id)) ?? 0) + 1);
    const targets = services.filter(({ id }) => shorts.get(shortOf(id)) === 1);
    const reached = new Set<string>();
    const room = this.#group.room() - item.length;
    const most = Math.min(MAX_GROUP_TARGETS, Math.floor((room - 2) / SHORT));
    if (most < 1) return reached;
    const isAll = isForAll && targets.length === others.length && targets.length <= MAX_GROUP_TARGETS;
    const width = isAll ? targets.length : most;
    for (let i = 0; i < targets.length; i += width) {
      const part = targets.slice(i, i + width);
      const waiting = await this.#sendTo(number, item, part, isAll);
      for (const { id } of part)
        if (!waiting.has(id)) reached.add(id);
        else if (this.#deaf.size < MAX_DEAF) this.#deaf.set(id, performance.now() + DEAF_TIME);
    }
    return reached;
  }

  async #sendTo(
    number: number,
    item: Buffer,
    targets: readonly Service[],
    isAll: boolean,
  ): Promise<ReadonlySet<string>> {
    const ids = new Set(targets.map(({ id }) => id));
    const datagram = encodeFilter(isAll ? [] : [...ids], item);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => setImmediate(resolve), RECEIPT_WAIT);
      this.#waiting.set(number, {
        ids,
        resolve: () => {
          clearTimeout(timer);
          resolve();
        },
      });
      this.#group.multicast(datagram);
    });
    this.#waiting.delete(number);
    return ids;
  }

  /** A service acknowledged a datagram. @returns whether it was waited for */
  onReceipt(from: string, number: number): boolean {
    const waiting = this.#waiting.get(number);
    if (waiting?.ids.delete(from) !== true) return false;
    if (waiting.ids.size === 0) waiting.resolve();
    return true;
  }

  acknowledge(to: string, id: number): void {
    const item = encodeService({ op: ServiceOp.RECEIPT, channel: 0, id, ruid: "", data: EMPTY });
    if (this.#group.room() > 0) this.#group.unicast(to, encodeFilter([], item));
  }

  /** The item of a datagram; `undefined`: it is for others; or it is junk. */
  read(bytes: Buffer): Buffer | "group" | undefined {
    const reader = new Reader(bytes);
    const count = reader.uint();
    if (reader.failed || count > MAX_GROUP_TARGETS) return "group";
    const shorts = reader.view(count * SHORT);
    if (reader.failed) return "group";
    const item = bytes.subarray(reader.at);
    if (count === 0) return item;
    const own = Buffer.from(shortOf(this.#self()), "hex");
    for (let at = 0; at < shorts.length; at += SHORT)
      if (own.compare(shorts, at, at + SHORT) === 0) return item;
    return undefined;
  }

  onGone(id: string): void {
    this.#deaf.delete(id);
    for (const { ids, resolve } of this.#waiting.values()) if (ids.has(id) && ids.size === 1) resolve();
  }

  close(): void {
    for (const { resolve } of this.#waiting.values()) resolve();
  }
}

/** The ids of items that each service has sent, so that none is taken twice. */
export class SeenIds {
  readonly #seen = new Map<string, Set<number>>();

  /** @returns whether it is new */
  take(from: string, id: number): boolean {
    let seen = this.#seen.get(from);
    if (seen === undefined) {
      seen = new Set();
      this.#seen.set(from, seen);
    }
    if (seen.has(id)) return false;
    seen.add(id);
    if (seen.size > MAX_SEEN_IDS)
      for (const oldest of seen) {
        seen.delete(oldest);
        break;
      }
    return true;
  }

  onGone(from: string): void {
    this.#seen.delete(from);
  }
}

/** Bytes of a short id. */
const SHORT = 4;
/** Services that are known to be out of reach of datagrams. */
const MAX_DEAF = 16_384;
const EMPTY = new Uint8Array(0);

function shortOf(id: string): string {
  return id.slice(0, 2 * SHORT);
}

function encodeFilter(ids: readonly string[], item: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(sizeOfUint(ids.length) + SHORT * ids.length + item.length);
  let at = writeUint(bytes, 0, ids.length);
  for (const id of ids) at += bytes.write(shortOf(id), at, "hex");
  bytes.set(item, at);
  return bytes;
}
