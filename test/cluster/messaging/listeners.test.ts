/** Listeners of a node that go away, and come again. */
import { rm } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { decodeAdvert } from "../../../src/cluster/messaging/advert.js";
import { ipcProtocol } from "../../../src/cluster/messaging/protocols.js";
import { refusing } from "./breakable-protocol.js";
import { LinksWorld } from "./links-world.js";
import { tcpProtocol } from "./socket-protocol.js";

let world: LinksWorld;
beforeEach(() => {
  world = new LinksWorld();
});
afterEach(() => world.close());

describe("a listener", () => {
  test("of ipc whose socket is gone is opened again where others fail to reach the node", async () => {
    const streams: Duplex[] = [];
    const ipc = ipcProtocol();
    const own = refusing("ipc", () => ipc.listen((stream) => void streams.push(stream), {} as never));
    const b = await world.node("b", { protocols: [own, tcpProtocol()] });
    const where = (): string | undefined => decodeAdvert(b.advert)?.protocols.get("ipc");
    const path = where() as string;
    await rm(path);
    b.links.checkListeners();
    await b.until(() => where() !== path);
    expect([...(decodeAdvert(b.advert)?.protocols.keys() ?? [])]).toEqual(["ipc", "tcp"]);
    expect(b.failures).toEqual([["", "ipc", "its listener was gone"]]);
    const stream = await ipc.connect(where() as string, {} as never, {} as never);
    await vi.waitFor(() => expect(streams).toHaveLength(1));
    for (const each of [stream, ...streams]) each.destroy();
  });

  test("that is there stays, and is looked at once in 5 s however often others ask", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      let looks = 0;
      let opened = 0;
      const own = refusing("own", async () => {
        opened += 1;
        return {
          advert: `here${opened}`,
          isOpen: async () => {
            looks += 1;
            return looks < 3;
          },
          close: async () => undefined,
        };
      });
      const b = await world.node("b", { protocols: [own] });
      const ask = async (ms: number): Promise<number> => {
        for (let i = 0; i < 3; i++) b.links.checkListeners();
        await vi.advanceTimersByTimeAsync(ms);
        return looks;
      };
      expect(await ask(1)).toBe(1);
      expect(await ask(4_000)).toBe(1);
      expect(await ask(1_500)).toBe(2);
      expect([opened, b.failures]).toEqual([1, []]);
      expect(await ask(6_000)).toBe(3);
      expect([opened, decodeAdvert(b.advert)?.protocols.get("own")]).toEqual([2, "here2"]);
      b.links.checkListeners();
      await b.links.close(0);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("that is gone when a look at it is under way is looked at once more", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      let looks = 0;
      let opened = 0;
      let look = (): void => undefined;
      const own = refusing("own", async () => {
        opened += 1;
        const isOpen = (): Promise<boolean> => {
          looks += 1;
          if (looks > 1) return Promise.resolve(looks > 2);
          return new Promise((resolve) => (look = () => resolve(true)));
        };
        return { advert: `here${opened}`, isOpen, close: async () => undefined };
      });
      const b = await world.node("b", { protocols: [own] });
      b.links.checkListeners();
      await vi.advanceTimersByTimeAsync(1);
      expect(looks).toBe(1);
      for (let i = 0; i < 3; i++) b.links.checkListeners();
      await vi.advanceTimersByTimeAsync(6_000);
      expect(looks).toBe(1);
      look();
      await vi.advanceTimersByTimeAsync(1);
      expect([looks, decodeAdvert(b.advert)?.protocols.get("own")]).toEqual([2, "here2"]);
      await vi.advanceTimersByTimeAsync(20_000);
      expect([looks, vi.getTimerCount()]).toEqual([2, 0]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("that cannot be opened again is withdrawn", async () => {
    let opened = 0;
    const own = refusing("own", async () => {
      opened += 1;
      if (opened > 1) throw new Error("no room");
      return { advert: "here", isOpen: async () => false, close: async () => undefined };
    });
    const b = await world.node("b", { protocols: [own, tcpProtocol()] });
    b.links.checkListeners();
    await b.until(() => decodeAdvert(b.advert)?.protocols.has("own") === false);
    expect(b.failures).toEqual([
      ["", "own", "its listener was gone"],
      ["", "own", "no room"],
    ]);
  });

  test("that cannot be opened again is tried each 5 s, without being asked, until it can", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    try {
      let opened = 0;
      const own = refusing("own", async () => {
        opened += 1;
        if (opened === 2 || opened === 3) throw new Error("no room");
        return { advert: `here${opened}`, isOpen: async () => opened > 3, close: async () => undefined };
      });
      const b = await world.node("b", { protocols: [own, tcpProtocol()] });
      b.links.checkListeners();
      await vi.advanceTimersByTimeAsync(1);
      expect([opened, decodeAdvert(b.advert)?.protocols.has("own")]).toEqual([2, false]);
      await vi.advanceTimersByTimeAsync(4_900);
      expect(opened).toBe(2);
      await vi.advanceTimersByTimeAsync(5_100);
      expect([opened, decodeAdvert(b.advert)?.protocols.get("own")]).toEqual([4, "here4"]);
      await vi.advanceTimersByTimeAsync(20_000);
      expect(opened).toBe(4);
      // Once, though it was tried twice.
      expect(b.failures).toEqual([
        ["", "own", "its listener was gone"],
        ["", "own", "no room"],
      ]);
      await b.links.close(0);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});
