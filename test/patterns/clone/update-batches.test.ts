/** Updates that a client reads out of the bytes that came: the same as frame by frame, and nothing of those bytes is kept. */
import { expect, test } from "vitest";
import { FrameBatch as Batch } from "../../../src/engine/frame-batch.js";
import { encodeMessages } from "../../../src/engine/zmtp/codec/take-front.js";
import { ClientRules } from "../../../src/patterns/clone/client-rules.js";
import { encodeGoodbye, encodeHugz, sequenceFrame } from "../../../src/patterns/clone/protocol.js";
import type { CloneTable } from "../../../src/patterns/clone/table.js";
import type { FrameBatch } from "../../../src/sockets/internal.js";
import fc from "../../support/properties.js";

const EMPTY = Buffer.alloc(0);
const OWN = Buffer.alloc(16, 1);

interface Rig {
  readonly rules: ClientRules;
  readonly done: string[];
  attempt: number;
}

function contents(table: CloneTable): string {
  const lines: string[] = [];
  for (let id = 0; id < table.high; id++)
    if (table.isLive(id)) lines.push(`${table.key(id)}=${table.value(id)}@${table.sequence(id)}`);
  return lines.sort().join("\n");
}

/** A client whose map is whole, at sequence 0. */
function rig(subtree = "", watching = false, maxBytes = 500): Rig {
  const done: string[] = [];
  const made = { done, attempt: 0 };
  const rules = new ClientRules(
    {
      subtree: Buffer.from(subtree),
      heartbeatInterval: 1_000,
      liveness: 2,
      attemptTimeout: 3_000,
      random: () => 0,
      maxPending: 10,
      maxBytes,
      token: Buffer.alloc(8, 1),
    },
    {
      open: (attempt) => Object.assign(made, { attempt }),
      ask: () => done.push("ask"),
      sendSet: () => undefined,
      unsent: () => 0,
      watching: () => watching,
      changed: (change) => done.push(JSON.stringify(change)),
      synced: () => done.push("synced"),
      event: (event) => done.push(JSON.stringify(event)),
    },
    0,
  );
  rules.setServers(["a"], 0);
  rules.connected(1, 0);
  rules.snapshot(1, encodeGoodbye(0, Buffer.from(subtree)), 0);
  return Object.assign(made, { rules });
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
        const [one, other] = [rig(subtree, watching), rig(subtree, watching)];
        let sequence = 0;
        let now = 0;
        let waiting: Buffer[][] = [];
        const flush = (): void => {
          if (waiting.length === 0) return;
          const { batch, release } = batchOf(waiting);
          one.rules.updates(one.attempt, batch, now);
          release();
          for (const frames of waiting) other.rules.update(other.attempt, frames, now);
          waiting = [];
          expect(one.done).toEqual(other.done);
        };
        for (const [{ key, step, uuid, properties, value, fault }, ends] of steps) {
          sequence += step;
          const frames = [
            Buffer.from(key),
            sequenceFrame(sequence),
            uuid,
            Buffer.from(properties),
            Buffer.from(value),
          ];
          if (fault === "frames") frames.pop();
          else if (fault === "more") frames.push(EMPTY);
          else if (fault === "sequence") frames[1] = EMPTY;
          else if (fault === "high") (frames[1] as Buffer)[1] = 0x20;
          waiting.push(frames);
          if (!ends) continue;
          flush();
          now += 100;
          for (const { rules } of [one, other]) rules.tick(now);
          expect(one.attempt).toBe(other.attempt);
          for (const { rules, attempt } of [one, other]) {
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
  const { rules } = rig();
  const put = (n: number, key = "k", properties = "ttl=0\n"): Buffer[] => [
    Buffer.from(key),
    sequenceFrame(n),
    Buffer.alloc(16, 2),
    Buffer.from(properties),
    Buffer.from(`v${n}`),
  ];
  const usual = batchOf([put(1), put(2, "other"), put(3, "k", "ttl=60\ns1=2\n")]);
  rules.updates(1, usual.batch, 0);
  expect(usual.batch.pooled).toBeDefined();
  usual.release();
  expect(contents(rules.table)).toBe("k=v3@3\nother=v2@2");
  const beat = batchOf([encodeHugz(3)]);
  rules.updates(1, beat.batch, 0);
  expect(beat.batch.pooled).toBeUndefined();
});
