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
import { MAX_GROUP_TARGETS, MAX_SEEN_IDS, MAX_WAITING_DATAGRAMS } from "./bounds.js";
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
  /** Which of the datagrams so far it is. */
  readonly place: number;
  readonly ids: Set<string>;
  readonly resolve: () => void;
}

export class GroupSends {
  readonly #group: GroupMeans;
  readonly #self: () => string;
  /** Datagrams that are under way, the oldest first. */
  readonly #waiting = new Set<Waiting>();
  /** The same by the numbers of their items: those about whom hooks decide later have a datagram of their own. */
  readonly #byNumber = new Map<number, readonly Waiting[]>();
  /** Those that begin when the oldest one has ended. */
  readonly #queue: (() => void)[] = [];
  /** Datagrams so far. */
  #sent = 0;
  /** Until when services are taken for out of reach of datagrams. */
  readonly #deaf = new Map<string, number>();
  #isClosed = false;

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
    const targets = services.filter(({ id }) => shorts.get(shortOf(id)) === 1).map(({ id }) => id);
    const reached = new Set<string>();
    const room = this.#group.room() - item.length;
    const most = Math.min(MAX_GROUP_TARGETS, Math.floor((room - 2) / SHORT));
    if (most < 1) return reached;
    const isAll = isForAll && targets.length === others.length && targets.length <= MAX_GROUP_TARGETS;
    const width = isAll ? targets.length : most;
    for (let i = 0; i < targets.length; i += width)
      for (const id of await this.#sendTo(number, item, targets.slice(i, i + width), isAll, most))
        reached.add(id);
    return reached;
  }

  /** @param most ids that fit a filter @returns the ids of those who acknowledged it */
  #sendTo(
    number: number,
    item: Buffer,
    targets: readonly string[],
    isAll: boolean,
    most: number,
  ): Promise<readonly string[]> {
    return new Promise((resolve) => {
      const begin = (): void => {
        // Since they were chosen, some may have given no receipt: they get by a link what they lack, and no datagram before it.
        const left = targets.filter((id) => this.reaches(id));
        const isForAll = isAll && left.length === targets.length;
        const ids = isForAll ? left : left.slice(0, most);
        if (ids.length === 0 || this.#isClosed) {
          resolve([]);
          return;
        }
        const missing = new Set(ids);
        let isOver = false;
        const end = (): void => {
          // Its time may be over in the turn in which its last receipt comes.
          if (isOver) return;
          isOver = true;
          clearTimeout(timer);
          this.#remove(number, waiting);
          for (const id of missing)
            if (this.#deaf.size < MAX_DEAF) this.#deaf.set(id, performance.now() + DEAF_TIME);
          resolve(ids.filter((id) => !missing.has(id)));
          while (this.#queue.length > 0 && this.#hasRoom) (this.#queue.shift() as () => void)();
        };
        const timer = setTimeout(() => setImmediate(end), RECEIPT_WAIT);
        this.#sent += 1;
        const waiting: Waiting = { place: this.#sent, ids: missing, resolve: end };
        this.#waiting.add(waiting);
        this.#byNumber.set(number, [...(this.#byNumber.get(number) ?? []), waiting]);
        this.#group.multicast(encodeFilter(isForAll ? [] : ids, item));
      };
      if (this.#hasRoom) begin();
      else if (this.#queue.length < MAX_WAITING_DATAGRAMS) this.#queue.push(begin);
      else resolve([]);
    });
  }

  #remove(number: number, waiting: Waiting): void {
    this.#waiting.delete(waiting);
    const others = this.#byNumber.get(number)?.filter((each) => each !== waiting) ?? [];
    if (others.length > 0) this.#byNumber.set(number, others);
    else this.#byNumber.delete(number);
  }

  /** Whether a service that has the oldest datagram, the receipt of which was lost, still knows it after a further one (SeenIds). */
  get #hasRoom(): boolean {
    const [oldest] = this.#waiting;
    return oldest === undefined || this.#sent - oldest.place < MAX_SEEN_IDS - 1;
  }

  /** A service acknowledged a datagram. @returns whether it was waited for */
  onReceipt(from: string, number: number): boolean {
    const waiting = this.#byNumber.get(number)?.find(({ ids }) => ids.delete(from));
    if (waiting === undefined) return false;
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
    for (const { ids, resolve } of [...this.#waiting]) if (ids.has(id) && ids.size === 1) resolve();
    this.#deaf.delete(id);
  }

  close(): void {
    this.#isClosed = true;
    for (const { resolve } of [...this.#waiting]) resolve();
  }
}

/** The ids that a service's items had. */
interface Seen {
  /** Those of datagrams: links bring any number of items while a datagram is under way, and push none of these out. */
  readonly datagrams: Set<number>;
  readonly links: Set<number>;
  /** The highest id that was pushed out. */
  forgotten: number;
}

/**
 * The ids of items that each service has sent, so that none is taken twice: one by datagram whose receipt was lost comes by a link, too, before
 * MAX_SEEN_IDS newer datagrams (GroupSends).
 */
export class SeenIds {
  readonly #seen = new Map<string, Seen>();

  /** @returns whether it is new, as far as is known */
  take(from: string, id: number, isDatagram: boolean): boolean {
    let seen = this.#seen.get(from);
    if (seen === undefined) {
      seen = { datagrams: new Set(), links: new Set(), forgotten: 0 };
      this.#seen.set(from, seen);
    }
    if (seen.datagrams.has(id) || seen.links.has(id)) return false;
    const ids = isDatagram ? seen.datagrams : seen.links;
    ids.add(id);
    if (ids.size > MAX_SEEN_IDS)
      for (const oldest of ids) {
        ids.delete(oldest);
        seen.forgotten = Math.max(seen.forgotten, oldest);
        break;
      }
    return true;
  }

  /** Whether an id may have been pushed out. Where a datagram has it, only its link knows whether the item came before. */
  hasForgotten(from: string, id: number): boolean {
    const seen = this.#seen.get(from);
    return seen !== undefined && id <= seen.forgotten && !seen.datagrams.has(id) && !seen.links.has(id);
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
