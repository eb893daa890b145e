/**
 * What Linux knows of a TCP connection: its row in /proc/net/tcp or tcp6 (proc_net_tcp.txt of the kernel's documentation).
 *
 *   sl: local remote st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout …
 *
 *   local, remote   the address as words in the machine's byte order, in hex, and the port: 0100007F:1F90
 *   tx_queue        bytes written and not acknowledged, in hex
 *   tr, tm->when    the timer that runs, 4: the probes of a closed window; and when it ends, in hundredths of a second, in hex
 *   retrnsmt        how often the same was sent again, in hex
 *   timeout         probes without an answer
 *
 * A table has all connections of the machine, so it is read for a suspect only, once for all that ask meanwhile, and not
 * often. Without a table (another system, a sandbox), and for a connection that is not in it, the answer is that nothing is known.
 */
import { open } from "node:fs/promises";
import type { Socket } from "node:net";
import { endianness } from "node:os";
import { systemClock } from "../../../core/clock.js";
import type { SendState } from "../system-silence.js";

/** ms between two readings, at least. */
const MIN_PAUSE = 100;
/** The same as a multiple of the processor time that the last one took. */
const PAUSE_FACTOR = 10;
/**
 * Bytes of a table that are read in a ms at least: some hundred connections. What took longer has waited for a processor, and a machine that is
 * busy with other work is no reason to notice a dead peer later.
 */
const READ_RATE = 20_000;
/** ms between two readings at most. */
const MAX_PAUSE = 10_000;
/** Bytes of a table that are read at once. */
const CHUNK = 65_536;
/** Bytes of a table that are read at most: some 400,000 connections. */
const MAX_TABLE = 67_108_864;
/** The timer of the probes of a closed window. */
const PROBE_TIMER = 4;
/** ms of a tick, as the kernel reports times to user space. */
const TICK = 10;

/** What is on the same machine acknowledges as long as it lives, and hangs up when it does not. */
const ACKNOWLEDGED: SendState = { unacknowledged: 0, probing: false, unanswered: 0, due: 0 };

type Table = "tcp" | "tcp6";
type Answer = (state: SendState | undefined) => void;

/** Hands on the lines of a table; `more` says whether any further one is wanted. @returns bytes that were read */
export type ReadTable = (
  table: Table,
  onLine: (line: string) => void,
  more: () => boolean,
) => Promise<number>;

/** What the kernel knows of what was sent on a stream; `undefined`: it does not say. Never rejects. */
export function sendStateOf(socket: Socket): Promise<SendState | undefined> {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  // A Unix domain socket has no address.
  if (remoteAddress === undefined) return Promise.resolve(socket.destroyed ? undefined : ACKNOWLEDGED);
  if (process.platform !== "linux" || localAddress === undefined) return Promise.resolve(undefined);
  const key = `${addressKey(localAddress, localPort ?? 0)} ${addressKey(remoteAddress, remotePort ?? 0)}`;
  return tables.find(remoteAddress.includes(":") ? "tcp6" : "tcp", key);
}

/** An address and its port as the tables have them. */
export function addressKey(address: string, port: number): string {
  let key = "";
  const bytes = address.includes(":") ? v6Bytes(address) : address.split(".").map(Number);
  for (let at = 0; at < bytes.length; at += 4) {
    const word = bytes.slice(at, at + 4);
    if (endianness() === "LE") word.reverse();
    for (const byte of word) key += hex(byte, 2);
  }
  return `${key}:${hex(port, 4)}`;
}

/** What a row says. */
export function parseRow(row: string): SendState | undefined {
  const [, , , , queues, timer, retransmits, , probes] = row.trim().split(/\s+/);
  const unacknowledged = Number.parseInt(queues ?? "", 16);
  const unanswered = Number.parseInt(retransmits ?? "", 16) + Number(probes);
  const kind = Number.parseInt(timer ?? "", 16);
  const due = Number.parseInt(timer?.split(":")[1] ?? "", 16) * TICK;
  if (Number.isNaN(unacknowledged + unanswered + kind + due)) return undefined;
  return { unacknowledged, probing: kind === PROBE_TIMER, unanswered, due };
}

/** The tables, shared by all connections. */
export class TcpTables {
  readonly #read: ReadTable;
  readonly #asked: Record<Table, Map<string, Answer[]>> = { tcp: new Map(), tcp6: new Map() };
  #reading = false;
  /** Until then nothing is read, by the clock. */
  #pausedUntil = 0;

  constructor(read: ReadTable) {
    this.#read = read;
  }

  /** @param key both addresses, local first, as `addressKey` gives them */
  find(table: Table, key: string): Promise<SendState | undefined> {
    return new Promise((resolve) => {
      const asked = this.#asked[table];
      const answers = asked.get(key);
      if (answers === undefined) asked.set(key, [resolve]);
      else answers.push(resolve);
      // By the time, not by the timer: one that is lost would end all readings for good.
      if (!this.#reading && systemClock.now() >= this.#pausedUntil) void this.#answerAll();
    });
  }

  async #answerAll(): Promise<void> {
    this.#reading = true;
    const begin = systemClock.now();
    let bytes = 0;
    for (const table of ["tcp", "tcp6"] as const) {
      const asked = this.#asked[table];
      if (asked.size === 0) continue;
      // Who asks from now on wants to know of a time that a reading under way may have passed already.
      this.#asked[table] = new Map();
      bytes += await this.#answer(table, asked);
    }
    const now = systemClock.now();
    const took = Math.min(now - begin, bytes / READ_RATE);
    const pause = Math.min(MAX_PAUSE, Math.max(MIN_PAUSE, PAUSE_FACTOR * took));
    this.#reading = false;
    this.#pausedUntil = now + pause;
    setTimeout(this.#timerOnPause, pause).unref();
  }

  #timerOnPause = (): void => {
    if (!this.#reading && this.#asked.tcp.size + this.#asked.tcp6.size > 0) void this.#answerAll();
  };

  /** @returns bytes that were read */
  async #answer(table: Table, asked: Map<string, Answer[]>): Promise<number> {
    const onLine = (line: string): void => {
      const start = line.indexOf(": ") + 2;
      const [local, remote] = line.slice(start).split(" ", 2);
      const key = `${local} ${remote}`;
      const answers = asked.get(key);
      if (answers === undefined) return;
      asked.delete(key);
      const state = parseRow(line);
      for (const answer of answers) answer(state);
    };
    let bytes = 0;
    try {
      bytes = await this.#read(table, onLine, () => asked.size > 0);
    } catch {
      // It is not there, or not to be read: nothing is known.
    }
    for (const answers of asked.values()) for (const answer of answers) answer(undefined);
    return bytes;
  }
}

async function readTable(table: Table, onLine: (line: string) => void, more: () => boolean): Promise<number> {
  const file = await open(`/proc/net/${table}`);
  let total = 0;
  try {
    const chunk = Buffer.allocUnsafeSlow(CHUNK);
    let rest = "";
    while (total < MAX_TABLE && more()) {
      const { bytesRead } = await file.read(chunk, 0, CHUNK, null);
      if (bytesRead === 0) break;
      total += bytesRead;
      const lines = (rest + chunk.toString("latin1", 0, bytesRead)).split("\n");
      rest = lines.pop() as string;
      for (const line of lines) onLine(line);
    }
  } finally {
    await file.close();
  }
  return total;
}

const tables = new TcpTables(readTable);

/** The 16 bytes of an IPv6 address: with `::`, with an IPv4 address at its end, with a zone. */
function v6Bytes(address: string): number[] {
  const bare = address.replace(/%.*$/, "").replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a, b, c, d] = parts.slice(0, 4).map((part) => hex(Number(part), 2));
    return `${a}${b}:${c}${d}`;
  });
  const [head = "", tail] = bare.split("::");
  const groups = head === "" ? [] : head.split(":");
  const end = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - groups.length - end.length;
  return [...groups, ...Array<string>(zeros).fill("0"), ...end].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
