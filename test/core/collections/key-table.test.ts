import { describe, expect, it } from "vitest";
import { KeyTable } from "../../../src/core/collections/key-table.js";
import fc, { forAll } from "../../support/properties.js";

interface Entry {
  readonly key: Buffer;
  readonly text: string;
}

const entry = (key: string, text: string): Entry => ({ key: Buffer.from(key), text });

describe("a table of keys", () => {
  it("has what a Map would have, whatever the keys and the order", () => {
    const step = fc.record({ key: fc.nat(400), run: fc.nat(60), adds: fc.boolean() });
    forAll([fc.array(step, { maxLength: 60 })], { numRuns: 200, defaultRuns: 25 }, (steps) => {
      const table = new KeyTable<Entry>();
      const map = new Map<string, string>();
      for (const [i, { key, run, adds }] of steps.entries()) {
        for (let k = key; k <= key + run; k++) {
          const name = k === 0 ? "" : `/keys/${k}`;
          if (adds) {
            table.set(entry(name, `${i}:${k}`));
            map.set(name, `${i}:${k}`);
          } else expect(table.delete(Buffer.from(name))).toBe(map.delete(name));
        }
        expect(table.size).toBe(map.size);
        for (let k = 0; k <= 460; k += 7) {
          const name = k === 0 ? "" : `/keys/${k}`;
          expect(table.get(Buffer.from(name))?.text).toBe(map.get(name));
        }
      }
      for (const [name, text] of map) {
        expect(table.get(Buffer.from(name))?.text).toBe(text);
        expect(table.getAt(Buffer.from(`<${name}>`), 1, 1 + name.length)?.text).toBe(text);
      }
      table.clear();
      expect([table.size, table.get(Buffer.from("/keys/1"))]).toEqual([0, undefined]);
    });
  });

  it("looks at few keys for one, though somebody chose them so that their hashes are equal", () => {
    const keys = colliding(10);
    // In FNV-1a a seed with a low byte of 0 would change nothing.
    for (const seed of [undefined, 0, 256, 0xab_cd_ef_00]) {
      let looks = 0;
      const table = new KeyTable(seed);
      for (const key of keys) {
        table.set({
          get key() {
            looks += 1;
            return key;
          },
        });
      }
      expect(table.size).toBe(1_024);
      expect(looks).toBeLessThan(10 * 1_024);
    }
  });
});

/** 2 ** `blocks` keys with the same FNV-1a: of blocks in a row, of which either of two leads to the same hash. */
function colliding(blocks: number): Buffer[] {
  let keys: Buffer[] = [Buffer.alloc(0)];
  for (let i = 0; i < blocks; i++) {
    const [start] = keys as [Buffer];
    const seen = new Map<number, Buffer>();
    for (let n = 0; ; n++) {
      const block = Buffer.alloc(4);
      block.writeUInt32BE(Math.imul(n, 0x9e37_79b1) >>> 0);
      const key = Buffer.concat([start, block]);
      const hash = key.reduce((sum, byte) => Math.imul(sum ^ byte, 0x0100_0193), 0x811c_9dc5 | 0);
      const other = seen.get(hash);
      if (other !== undefined) {
        keys = keys.flatMap((each) => [Buffer.concat([each, block]), Buffer.concat([each, other])]);
        break;
      }
      seen.set(hash, block);
    }
  }
  return keys;
}
