/** Exact counters through random kills, over real sockets. */

import { describe, expect, it } from "vitest";
import type { SocketStats } from "../../../src/index.js";
import { turn } from "../../contract/support/wait.js";
import { World } from "../../contract/support/world.js";
import { RawPeer } from "../../contract/support/zmtp-peer.js";
import fc, { forAllAsync } from "../../support/properties.js";
import { weighted } from "../support/weighted.js";

function lost({ dropped }: SocketStats): number {
  return Object.values(dropped).reduce((sum, count) => sum + count, 0);
}

function balanced(stats: SocketStats): void {
  expect(stats.delivered + stats.queued + lost(stats)).toBe(stats.sent);
  expect(Math.min(stats.delivered, stats.queued)).toBeGreaterThanOrEqual(0);
}

const HIGH_WATER_MARK = 5;

const step = fc.record({
  how: weighted({ send: 3, burst: 1, peer: 2, kill: 1, close: 1, read: 1, turns: 1, disconnect: 1 }),
  size: fc.constantFrom(0, 10, 1_000, 70_000, 300_000),
  who: fc.nat(5),
});

describe.each(["tcp", "ipc", "inproc"] as const)("over %s", (transport) => {
  const world = new World("zmtp", transport);

  it("a sender among peers that are killed: sent = delivered + queued + dropped at every step; order kept, nothing twice", async () => {
    await forAllAsync(
      [fc.array(step, { minLength: 5, maxLength: 40 }), fc.boolean()],
      { numRuns: transport === "tcp" ? 60 : 40, defaultRuns: 13, endOnFailure: true },
      async (steps, binds) => {
        const push = world.push({ sendHighWaterMark: HIGH_WATER_MARK, reconnectInterval: 5 });
        const endpoint = binds ? await world.bind(push) : undefined;
        const pulls: { socket: ReturnType<World["pull"]>; got: number[]; endpoint: string }[] = [];
        const raws: RawPeer[] = [];
        let number = 0;
        const send = (size: number): void => {
          const more = size > 70_000 ? [Buffer.alloc(size)] : [];
          if (push.trySend([String(number), Buffer.alloc(size), ...more])) number += 1;
        };
        let dropEvents = 0;
        let connections = 0;
        push.events.on("drop", ({ messages }) => {
          dropEvents += messages;
        });
        for (const { how, size, who } of steps) {
          const pull = pulls[who % Math.max(1, pulls.length)];
          if (how === "send") send(size);
          else if (how === "burst") for (let i = 0; i < 20; i++) send(size);
          else if (how === "peer" && pulls.length + raws.length < 4) {
            if (who === 0 && endpoint !== undefined && transport === "tcp") {
              // One that reads nothing, and will be gone without a word.
              const raw = await RawPeer.connect(endpoint);
              await raw.handshake("PULL");
              raw.socket.pause();
              raws.push(raw);
              continue;
            }
            connections += 1;
            const socket = world.pull({ receiveHighWaterMark: 3, reconnectInterval: 5 });
            const own = endpoint ?? (await world.bind(socket));
            (endpoint === undefined ? push : socket).connect(own);
            pulls.push({ socket, got: [], endpoint: own });
          } else if (how === "kill") raws.shift()?.socket.resetAndDestroy();
          else if (how === "turns") for (let i = 0; i < 5; i++) await turn();
          else if (pull === undefined) continue;
          else if (how === "read") {
            for (let i = 0; i < 10 && pull.socket.readable; i++)
              pull.got.push(Number((await pull.socket.receive())[0]));
          } else if (how === "close") {
            pulls.splice(pulls.indexOf(pull), 1);
            void pull.socket.close({ linger: 0 });
          } else if (how === "disconnect" && endpoint === undefined) {
            pulls.splice(pulls.indexOf(pull), 1);
            push.disconnect(pull.endpoint);
            void pull.socket.close({ linger: 0 });
          }
          balanced(push.stats());
        }
        for (const raw of raws) raw.destroy();
        const { flushed, discarded } = await push.close({ linger: 0 });
        const stats = push.stats();
        balanced(stats);
        expect([stats.sent, stats.queued, stats.delivered]).toEqual([number, 0, flushed]);
        expect(flushed + discarded + stats.dropped.disconnected).toBe(number);
        expect(dropEvents).toBe(lost(stats));
        for (const { got } of pulls) expect(got).toEqual([...new Set(got)].sort((a, b) => a - b));
        const all = pulls.flatMap(({ got }) => got);
        expect(new Set(all).size).toBe(all.length);
        // Of a write that was under way when its connection ended, a part may have arrived: no more than was queued.
        expect(all.length).toBeLessThanOrEqual(stats.delivered + HIGH_WATER_MARK * connections);
        await Promise.all(pulls.map(({ socket }) => socket.close({ linger: 0 })));
      },
    );
  });
});
