import { beforeEach, describe, expect, test, vi } from "vitest";
import { HELD_BYTES, HELD_TIME } from "../../../src/cluster/messaging/bounds.js";
import { Publication } from "../../../src/cluster/messaging/publication.js";
import { TopicPlan } from "../../../src/cluster/messaging/topic-plan.js";
import { countOf, LinkFrame } from "../../../src/cluster/messaging/wire.js";
import { FakeProtocol } from "./fake-streams.js";
import { type LinksNode, linksWorld } from "./links-world.js";

/** How many items each batch has that was sent. */
class CountingProtocol extends FakeProtocol {
  readonly batches: number[] = [];
  override onSent = (frame: Buffer): void => {
    if (frame[0] === LinkFrame.BATCH) this.batches.push(countOf(frame));
  };
}

describe("publications that are followed by more in the next turn", () => {
  const world = linksWorld();
  let protocol: CountingProtocol;
  let a: LinksNode;
  let b: LinksNode;
  let release: () => void;
  const publication = new Publication(new TopicPlan("t"));
  const full: string[] = [];
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  /** @param goesOn after it the publisher lets the event loop turn */
  function publish(data: string, goesOn = true): void {
    publication.set(publication.plan, 1, undefined, 0, data);
    a.links.publish([b.id], publication, full);
    if (goesOn) a.links.publishesMore();
  }

  /** Both are there, and one publication that is not acknowledged, since its handler takes its time. */
  async function open(highWaterMark = 1_000): Promise<void> {
    a = await world.node("a", { protocols: [protocol], highWaterMark });
    b = await world.node("b");
    release = b.hold();
    publish("first", false);
    await b.until(() => b.items.length === 1);
    protocol.batches.length = 0;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  }

  beforeEach(() => {
    protocol = new CountingProtocol();
    full.length = 0;
  });

  test("wait for it, and go together when nothing follows", async () => {
    await open();
    for (const data of ["1", "2", "3"]) {
      publish(data);
      await turn();
      expect(protocol.batches).toEqual([]);
    }
    await turn();
    expect(protocol.batches).toEqual([3]);
    release();
    await b.until(() => b.items.length === 4);
    expect(b.texts.map((text) => text.at(-1))).toEqual(["t", "1", "2", "3"]);
  });

  test("do not wait where the peer has acknowledged all, or nothing is said to follow", async () => {
    await open();
    publish("1", false);
    await turn();
    expect(protocol.batches).toEqual([1]);
    release();
    await b.until(() => b.items.length === 2);
    vi.advanceTimersByTime(200);
    vi.useRealTimers();
    await expect.poll(() => a.to(b).waiting).toBe(0);
    publish("2");
    await new Promise((resolve) => process.nextTick(resolve));
    expect(protocol.batches).toEqual([1, 1]);
  });

  test("wait no longer than a time, however much follows", async () => {
    await open();
    publish("1");
    await turn();
    vi.advanceTimersByTime(HELD_TIME - 1);
    publish("2");
    await turn();
    expect(protocol.batches).toEqual([]);
    vi.advanceTimersByTime(1);
    publish("3");
    await turn();
    expect(protocol.batches).toEqual([3]);
  });

  test("wait for no more than some bytes", async () => {
    await open();
    const data = "x".repeat(8_192);
    let count = 0;
    while (protocol.batches.length === 0) {
      publish(data);
      count += 1;
      await turn();
    }
    expect(count).toBe(Math.ceil(HELD_BYTES / 8_200));
    expect(protocol.batches.reduce((sum, each) => sum + each, 0)).toBe(count);
  });

  test("do not make another message wait with them", async () => {
    await open();
    publish("1");
    a.send(b, "direct");
    await new Promise((resolve) => process.nextTick(resolve));
    expect(protocol.batches).toEqual([2]);
  });

  test("do not take room that is scarce", async () => {
    await open(4);
    publish("1");
    await new Promise((resolve) => process.nextTick(resolve));
    expect(protocol.batches).toEqual([1]);
    publish("2");
    publish("3");
    expect(full).toEqual([]);
    publish("4");
    expect(full).toEqual([b.id]);
  });
});
