/** Copies that wait for room at a peer which decides when it has some. */
import { describe, expect, test } from "vitest";
import type { SendResult } from "../../../src/cluster/messaging/parts.js";
import { WaitingSends } from "../../../src/cluster/messaging/waiting-sends.js";

/** A peer that has room when the test says so. */
class Peer {
  readonly got: string[] = [];
  room = 0;
  /** How often it was asked for room. */
  asked = 0;
  #waiters: ((isGone: boolean) => void)[] = [];
  readonly waiting = new WaitingSends(100, 10_000, {
    room: () => {
      this.asked += 1;
      return new Promise((resolve, reject) =>
        this.#waiters.push((isGone) => (isGone ? reject(new Error("gone")) : resolve())),
      );
    },
  });

  send(text: string): SendResult {
    if (this.room === 0) return "full";
    this.room -= 1;
    this.got.push(text);
    return "sent";
  }

  wait(text: string, timeout = -1): Promise<string> {
    return this.waiting.wait("peer", text.length, timeout, () => this.send(text));
  }

  make(room: number): void {
    this.room = room;
    for (const waiter of this.#waiters.splice(0)) waiter(false);
  }

  go(): void {
    for (const waiter of this.#waiters.splice(0)) waiter(true);
  }
}

describe("copies that wait", () => {
  test("go in their order, as many as there is room for", async () => {
    const peer = new Peer();
    const results = ["a", "b", "c"].map((text) => peer.wait(text));
    peer.make(2);
    expect(await Promise.all(results.slice(0, 2))).toEqual(["sent", "sent"]);
    expect(peer.waiting.count).toBe(1);
    peer.make(1);
    expect(await results[2]).toBe("sent");
    expect(peer.got).toEqual(["a", "b", "c"]);
    expect([peer.waiting.count, peer.waiting.bytes, peer.waiting.isEmpty]).toEqual([0, 0, true]);
  });

  test("leave nothing behind when their time is over, and the peer is asked for room once", async () => {
    const peer = new Peer();
    for (let i = 0; i < 20; i++) expect(await peer.wait("late", 0)).toBe("timeout");
    expect([peer.waiting.has("peer"), peer.waiting.isEmpty, peer.waiting.bytes]).toEqual([false, true, 0]);
    expect(peer.asked).toBe(1);
    const next = peer.wait("next");
    expect(peer.waiting.has("peer")).toBe(true);
    peer.make(5);
    expect(await next).toBe("sent");
    expect(peer.got).toEqual(["next"]);
  });

  test("that throw when they are sent reject, and those behind them go", async () => {
    const peer = new Peer();
    const bad = peer.waiting.wait("peer", 1, -1, () => {
      throw new RangeError("too large");
    });
    const good = peer.wait("good");
    peer.make(5);
    await expect(bad).rejects.toThrow("too large");
    expect(await good).toBe("sent");
    expect(peer.waiting.isEmpty).toBe(true);
  });

  test("were not sent where the peer goes, or messaging closes", async () => {
    const peer = new Peer();
    const results = ["a", "b"].map((text) => peer.wait(text, 10_000));
    peer.go();
    expect(await Promise.all(results)).toEqual(["unreachable", "unreachable"]);
    const last = peer.wait("c");
    peer.waiting.close();
    expect(await last).toBe("unreachable");
    expect([peer.waiting.count, peer.waiting.bytes]).toEqual([0, 0]);
  });
});
