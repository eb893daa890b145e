/**
 * A program that puts as fast as its slowest reader reads, and processes with many readers that each keep the map by
 * a watch. Readers report their progress in the store itself, once per window, as they do elsewhere over a socket.
 */
import { Bodies, Checker } from "../../bodies.js";
import { sumOfChecksums } from "../../sequences.js";
import type { Side } from "../node/side.js";
import type { Place } from "./store.js";

/** Updates between two reports of a reader. */
const WINDOW = 1_000;

const totalOf = (side: Side): number => side.warmup + side.count;

function keysOf(side: Side): string[] {
  const count = Math.min(side.number("keys", 1_000), totalOf(side));
  return Array.from({ length: count }, (_, i) => `map.${String(i).padStart(8, "0")}`);
}

export async function server(side: Side, place: Place): Promise<void> {
  const store = await place.open();
  const words = new Map<string, number>();
  let wake: () => void = () => undefined;
  await store.watch("credit.", (reader) => {
    words.set(reader, (words.get(reader) ?? 0) + 1);
    wake();
  });
  await side.ready(place.endpoint, place.endpoint);
  const keys = keysOf(side);
  const bodies = new Bodies(side.size);
  const readers = side.number("processes", 1);
  const allowed = (): number => (words.size < readers ? 0 : (1 + Math.min(...words.values())) * WINDOW);
  side.begin();
  let last: Promise<unknown> = Promise.resolve();
  for (let k = 0; k < totalOf(side); k++) {
    while (k >= allowed())
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    last = store.put(keys[k % keys.length] as string, bodies.makeOwn(k));
  }
  await last;
  await side.done({ messages: side.count, bytes: side.count * side.size });
  await store.close();
  await place.remove();
}

class Reader {
  readonly map = new Map<string, Buffer>();
  updates = 0;

  take(key: string, value: Buffer): void {
    this.map.set(key, value);
    this.updates += 1;
  }

  /**
   * Checks the final map.
   * @throws Error for a wrong map
   */
  check(side: Side, keys: readonly string[]): Checker {
    const first = totalOf(side) - keys.length;
    const checker = new Checker(side.size, 0, first);
    for (let k = first; k < totalOf(side); k++) {
      const value = this.map.get(keys[k % keys.length] as string);
      if (value === undefined) throw new Error(`a map has no value of update ${k}`);
      checker.take(value);
    }
    if (this.updates !== totalOf(side) || this.map.size !== keys.length)
      throw new Error(`a map has missed something: ${this.updates} updates, ${this.map.size} keys`);
    return checker;
  }
}

export async function client(side: Side, place: Place): Promise<void> {
  const readers: Reader[] = [];
  const words = await place.open();
  const stores = [words];
  let sent = 0;
  const begins = Math.max(1, side.warmup);
  let before = 0;
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const word = (): void => void words.put(`credit.${side.index}`, Buffer.from(String(sent)));
  const sum = (): number => readers.reduce((all, { updates }) => all + updates, 0);
  /** A reader has so many now: once for each that another may wait for. */
  const look = (): void => {
    const least = Math.min(...readers.map(({ updates }) => updates));
    for (; (sent + 1) * WINDOW <= least; sent++) word();
    if (before === 0 && least >= begins) {
      before = sum();
      side.begin();
    }
    if (least >= totalOf(side)) finish();
  };
  for (let i = 0; i < side.number("sockets", 1); i++) {
    const store = await place.open();
    const reader = new Reader();
    stores.push(store);
    readers.push(reader);
    await store.watch("map.", (key, value) => {
      reader.take(key, value);
      const { updates } = reader;
      if (updates % WINDOW === 0 || updates === begins || updates === totalOf(side)) look();
    });
  }
  await side.ready();
  word();
  await finished;
  side.end();
  const updates = sum() - before;
  const keys = keysOf(side);
  const checkers = readers.map((reader) => reader.check(side, keys));
  const messages = side.count * readers.length;
  await side.done({
    messages,
    bytes: messages * side.size,
    checksum: sumOfChecksums(checkers.map(({ checksum }) => checksum)),
    ordered: checkers.every(({ ordered }) => ordered),
    extra: { updates, sockets: readers.length },
  });
  await Promise.all(stores.map((store) => store.close()));
}
