/** The hashmap in memory against one of JavaScript, and snapshots of it while it changes. */
import { expect, test } from "vitest";
import { Expiry } from "../../../src/patterns/clone/server-state.js";
import { CloneTable } from "../../../src/patterns/clone/table.js";
import { Random } from "../../../src/testing/random.js";

function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.integer(0, 255)));
}

/** Sets a key as an update does that came among other bytes. */
function putFrom(table: CloneTable, key: Buffer, value: Buffer, sequence: number): void {
  const bytes = Buffer.concat([key, value]);
  const { length } = key;
  const positions = { key: 0, keyEnd: length, value: length, valueEnd: bytes.length };
  table.putFrom({ bytes, memory: bytes.buffer, base: bytes.byteOffset, ...positions }, sequence);
}

test("a table is what a map with the same changes is, whatever bytes and sizes", () => {
  const random = new Random(7);
  const table = new CloneTable();
  const model = new Map<string, { value: Buffer; sequence: number }>();
  for (let sequence = 1; sequence <= 15_000; sequence++) {
    const key = random.chance(0.1)
      ? randomBytes(random, random.integer(1, 255))
      : Buffer.from(`k${random.integer(0, 400)}`);
    const name = key.toString("latin1");
    const id = table.find(key);
    expect(id >= 0).toBe(model.has(name));
    if (random.chance(0.3)) {
      if (id >= 0) table.remove(id);
      model.delete(name);
    } else {
      const size = random.chance(0.002) ? random.integer(60_000, 80_000) : random.integer(0, 300);
      const value = Buffer.alloc(size, sequence & 255);
      if (size === 0 || random.chance(0.5)) table.put(key, value, sequence);
      else putFrom(table, key, value, sequence);
      model.set(name, { value, sequence });
    }
  }
  let bytes = 0;
  for (const [name, { value, sequence }] of model) {
    const id = table.find(Buffer.from(name, "latin1"));
    expect(table.value(id).equals(value)).toBe(true);
    expect(table.sequence(id)).toBe(sequence);
    bytes += name.length + value.length;
  }
  expect([table.size, table.bytes]).toEqual([model.size, bytes]);
  for (const name of model.keys()) table.remove(table.find(Buffer.from(name, "latin1")));
  expect([table.size, table.bytes, table.high]).toEqual([0, 0, 0]);
});

test("values that grow step by step leave a few times their memory behind, not one piece for each size", () => {
  const random = new Random(5);
  const table = new CloneTable();
  const model = new Map<string, Buffer>();
  let sequence = 0;
  const set = (name: string, value: Buffer): void => {
    sequence += 1;
    table.put(Buffer.from(name), value, sequence);
    model.set(name, value);
  };
  const remove = (name: string): void => {
    const id = table.find(Buffer.from(name));
    if (id >= 0) table.remove(id);
    model.delete(name);
  };
  let most = 0;
  for (let size = 16; size <= 1_008; size += 16) {
    const value = Buffer.alloc(size, size >> 4);
    for (let key = 0; key < 20_000; key++) {
      set(`k${key}`, value);
      if (key % 100 > 0) continue;
      const other = `k${random.integer(0, 20_100)}`;
      if (random.chance(0.5)) remove(other);
      else set(other, Buffer.alloc(random.chance(0.1) ? 70_000 : random.integer(0, 2_000), key));
    }
    if (size > 800) most = Math.max(most, table.memory / table.bytes);
  }
  expect(most).toBeLessThan(8);
  expect(table.size).toBe(model.size);
  for (const [name, value] of model) {
    const id = table.find(Buffer.from(name));
    if (!table.key(id).equals(Buffer.from(name)) || !table.value(id).equals(value)) throw new Error(name);
  }
});

test("a key costs no more memory than twice its data", () => {
  const table = new CloneTable();
  const value = Buffer.alloc(64, 1);
  for (let n = 0; n < 50_000; n++) table.put(Buffer.from(`/client/key-${n}`), value, n);
  expect(table.memory).toBeLessThan(2 * table.bytes);
  // Values that change their size use the memory of those before.
  const before = table.memory;
  for (let n = 0; n < 50_000; n++)
    table.put(Buffer.from(`/client/key-${n}`), value.subarray(0, 1 + (n % 64)), n);
  for (let n = 0; n < 50_000; n++) table.put(Buffer.from(`/client/key-${n}`), value, n);
  expect(table.memory).toBeLessThan(1.5 * before);
});

test("ephemeral keys come due in their order, once, and not when they were set again", () => {
  const expiry = new Expiry();
  const ids = [5, 6, 7];
  for (const [n, time] of [30, 10, 20].entries()) expiry.set(ids[n] as number, time);
  expiry.set(ids[1] as number, 40);
  expect(expiry.next()).toBe(20);
  expect(expiry.due(35, 10)).toEqual([ids[2], ids[0]]);
  expect(expiry.due(35, 10)).toEqual([]);
  expiry.set(ids[1] as number, 0);
  expect(expiry.next()).toBe(Number.POSITIVE_INFINITY);
  for (let n = 0; n < 100_000; n++) expiry.set(ids[0] as number, 1_000 + n);
  expect(expiry.due(1e9, 10)).toEqual([ids[0]]);
});
