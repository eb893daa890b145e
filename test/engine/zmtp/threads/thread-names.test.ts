/** Names of threads as rules: several threads within this one, on real channels. */
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import { describe, expect, it, test } from "vitest";
import { ThreadNames } from "../../../../src/engine/zmtp/threads/thread-names.js";
import fc from "../../../support/properties.js";

class Thread {
  readonly bound = new Set<string>();
  /** What happened to streams of names bound here. */
  readonly met: string[] = [];
  readonly names = new ThreadNames({
    has: (name) => this.bound.has(name),
    accept: (_, { socket }) => {
      this.met.push("met");
      socket.on("end", () => void this.met.push("closed"));
      socket.resume();
      socket.write(Buffer.from(this.id));
    },
  });

  constructor(readonly id: string) {}

  seek(name: string): { readonly replies: string[]; stop(): void } {
    const replies: string[] = [];
    const sink = {
      sinkOnBytes: (bytes: Buffer) => void replies.push(String(bytes)),
      sinkOnEnd: () => undefined,
    };
    return { replies, stop: this.names.seek(name, ({ reader, socket }) => reader.start(socket, sink)) };
  }

  async bind(name: string): Promise<boolean> {
    if (this.bound.has(name) || (await this.names.claim(name)) === false) return false;
    this.bound.add(name);
    this.names.announce(name);
    return true;
  }
}

const [one, two, three, four] = ["one", "two", "three", "four"].map((id) => new Thread(id)) as [
  Thread,
  Thread,
  Thread,
  Thread,
];
let names = 0;
const freeName = (): string => `inproc://name-${process.pid}-${++names}`;

/** What was posted has arrived, and so have the answers. */
const settle = (): Promise<void> => wait(20);

describe("a name", () => {
  it("is not sought after the end of the seek, and a later port is closed", async () => {
    const name = freeName();
    one.met.length = 0;
    const seek = two.seek(name);
    one.bound.add(name);
    seek.stop();
    await settle();
    expect([seek.replies, one.met]).toEqual([[], ["met", "closed"]]);
  });

  it("with two owners gives one port, and the other is closed", async () => {
    const name = freeName();
    for (const { bound, met } of [one, two]) {
      bound.add(name);
      met.length = 0;
    }
    const { replies } = three.seek(name);
    await settle();
    expect(replies).toHaveLength(1);
    expect([...one.met, ...two.met].filter((each) => each === "closed")).toHaveLength(1);
  });

  it("that is sought before it is bound is found once, and is taken from then on", async () => {
    const name = freeName();
    one.met.length = 0;
    const { replies } = two.seek(name);
    expect(await one.bind(name)).toBe(true);
    await settle();
    expect([replies, one.met]).toEqual([["one"], ["met"]]);
    expect(await three.bind(name)).toBe(false);
    one.bound.delete(name);
    expect(await three.bind(name)).toBe(true);
  });
});

test("of threads that bind at the same time, in every order, exactly one gets the name", async () => {
  const threads = [one, two, three, four];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(6), { minLength: 2, maxLength: 4 }), async (begins) => {
      const name = freeName();
      const bound = begins.map(async (turns, i) => {
        for (let left = turns; left > 0; left--) await turn();
        return (threads[i] as Thread).bind(name);
      });
      expect((await Promise.all(bound)).filter(Boolean)).toHaveLength(1);
    }),
    { numRuns: 15 },
  );
});

test("a thread that computes while it claims a name yields to the one that has bound it meanwhile", async () => {
  const name = freeName();
  const late = one.bind(name);
  await settle();
  // The other has heard of the claim, and did not hear in time that its own came later.
  two.bound.add(name);
  two.names.announce(name);
  expect(await late).toBe(false);
});
