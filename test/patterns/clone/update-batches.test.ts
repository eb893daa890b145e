/** Updates that a client reads out of the bytes that came: the same as frame by frame, and nothing of those bytes is kept. */
import { expect, test } from "vitest";
import { FrameBatch as Batch, encodeMessages } from "../../../src/engine/frame-batch.js";
import { encodeGoodbye, encodeHugz, sequenceFrame } from "../../../src/patterns/clone/protocol.js";
import type { CloneTable } from "../../../src/patterns/clone/table.js";
import type { FrameBatch } from "../../../src/sockets/internal.js";
import fc from "../../support/properties.js";
import { EMPTY, rig } from "./client-rig.js";

const OWN = Buffer.alloc(16, 1);

function contents(table: CloneTable): string {
  const lines: string[] = [];
  for (let id = 0; id < table.high; id++)
    if (table.isLive(id)) lines.push(`${table.key(id)}=${table.value(id)}@${table.sequence(id)}`);
  return lines.sort().join("\n");
}

/** One batch of some messages, in memory that is written over when it is released. */
function batchOf(messages: readonly (readonly Buffer[])[]): { batch: FrameBatch; release(): void } {
  const { bytes, start, end, tally } = encodeMessages(messages, undefined);
  let pinned = false;
  const pooled = {
    refs: 1,
    release: () => undefined,
    pin: () => {
      pinned = true;
    },
  };
  const batch = new Batch(bytes, start, end, messages.length, tally, undefined, pooled);
  return {
    batch,
    release: () => {
      batch.release();
      if (!pinned) bytes.fill(0xff);
    },
  };
}

function kvpub(key: string, sequence: number, uuid: Buffer, properties: string, value: string): Buffer[] {
  return [Buffer.from(key), sequenceFrame(sequence), uuid, Buffer.from(properties), Buffer.from(value)];
}

const frame = fc.constantFrom(
  "",
  "a",
  "ab",
  "revision=1\n",
  "ttl=0\n",
  "ttl=3600\ns1=2\n",
  "ttl=0\nrevision=0\n",
);
const message = fc.record({
  key: fc.constantFrom("a", "b", "/s/a", "/s/b", "HUGZ", "KTHXBAI", "", "k".repeat(255), "k".repeat(256)),
  step: fc.constantFrom(0, 1, 1, 1, 1, 1, 1, 1, 2),
  uuid: fc.constantFrom(EMPTY, EMPTY, Buffer.alloc(16, 2), OWN, Buffer.alloc(3)),
  properties: frame,
  value: fc.constantFrom("", "v", "w", "long".repeat(75), "longer".repeat(100)),
  fault: fc.constantFrom("", "", "", "", "", "", "frames", "more", "sequence", "high"),
});

test("a client has the same of updates as bytes and frame by frame, whatever comes and however it is cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(message, fc.boolean()), { maxLength: 60 }),
      fc.constantFrom("", "/s/"),
      fc.boolean(),
      fc.boolean(),
      (steps, subtree, watching, loads) => {
        const make = () => rig(["a"], { random: 0, subtree, watching, maxBytes: 500 });
        const [one, other] = [make(), make()];
        for (const { begin } of [one, other]) begin();
        let sequence = 0;
        let now = 0;
        let waiting: Buffer[][] = [];
        const flush = (): void => {
          if (waiting.length === 0) return;
          const { batch, release } = batchOf(waiting);
          one.rules.updates(one.now.attempt, batch, now);
          release();
          for (const frames of waiting) other.rules.update(other.now.attempt, frames, now);
          waiting = [];
          expect([one.done, one.told]).toEqual([other.done, other.told]);
        };
        for (const [{ key, step, uuid, properties, value, fault }, ends] of steps) {
          sequence += step;
          const frames = kvpub(key, sequence, uuid, properties, value);
          if (fault === "frames") frames.pop();
          else if (fault === "more") frames.push(EMPTY);
          else if (fault === "sequence") frames[1] = EMPTY;
          else if (fault === "high") (frames[1] as Buffer)[1] = 0x20;
          waiting.push(frames);
          if (!ends) continue;
          flush();
          now += 100;
          for (const { rules } of [one, other]) rules.tick(now);
          expect(one.now.attempt).toBe(other.now.attempt);
          for (const {
            rules,
            now: { attempt },
          } of [one, other]) {
            rules.connected(attempt, now);
            if (loads) rules.snapshot(attempt, encodeGoodbye(sequence, Buffer.from(subtree)), now);
          }
        }
        flush();
        expect(contents(one.rules.table)).toEqual(contents(other.rules.table));
        expect(one.rules.stats(now)).toEqual({
          ...other.rules.stats(now),
          memory: one.rules.stats(now).memory,
        });
      },
    ),
    { numRuns: 400 },
  );
});

test("the usual update pins no memory; one that a program may keep does", () => {
  const { rules, begin } = rig(["a"]);
  begin();
  const put = (n: number, key = "k", properties = "ttl=0\n"): Buffer[] =>
    kvpub(key, n, Buffer.alloc(16, 2), properties, `v${n}`);
  const usual = batchOf([put(1), put(2, "other"), put(3, "k", "ttl=60\ns1=2\n")]);
  rules.updates(1, usual.batch, 0);
  expect(usual.batch.pooled).toBeDefined();
  usual.release();
  expect(contents(rules.table)).toBe("k=v3@3\nother=v2@2");
  const beat = batchOf([encodeHugz(3)]);
  rules.updates(1, beat.batch, 0);
  expect(beat.batch.pooled).toBeUndefined();
});
