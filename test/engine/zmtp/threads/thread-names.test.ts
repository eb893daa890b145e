/** Names of threads as rules: several threads within this one, whose words arrive in later turns of the event loop. */
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, it, onTestFinished, test, vi } from "vitest";
import {
  ThreadNames,
  type ThreadReply,
  type ThreadWire,
  type ThreadWord,
} from "../../../../src/engine/zmtp/threads/thread-names.js";
import fc from "../../../support/properties.js";

class FakeThread implements ThreadWire {
  readonly thread: number;
  readonly mayHaveOthers: boolean;
  readonly id: string;
  readonly bound = new Set<string>();
  /** Sockets that sought names bound here, and those refused. */
  readonly met: unknown[] = [];
  refuses = false;
  /** Handles no words. */
  busy = false;
  /** Turns until a word of this thread arrives. */
  delay = 0;
  readonly names: ThreadNames;
  readonly #queue: { readonly word: ThreadWord; isReady: boolean }[] = [];

  constructor(readonly all: FakeThread[]) {
    this.thread = all.length;
    this.id = `thread-${all.length}`;
    this.mayHaveOthers = all.length > 0;
    all.push(this);
    this.names = new ThreadNames(this, {
      isBound: (name) => this.bound.has(name),
      sought: (_, socket) => {
        if (this.refuses) return { fault: "no room" };
        this.met.push(socket);
        const port = { close: () => void this.met.push("closed"), addEventListener: () => undefined };
        return { socket: this.id, port: port as never, near: port };
      },
    });
  }

  post(word: ThreadWord): void {
    for (const other of this.all) if (other !== this) void other.#arrive(word, this.delay);
  }

  async #arrive(word: ThreadWord, delay: number): Promise<void> {
    const entry = { word, isReady: false };
    this.#queue.push(entry);
    for (let turns = 0; turns <= delay; turns++) await turn();
    entry.isReady = true;
    this.#handle();
  }

  /** As in a thread, what a word resolves is done before the next word. */
  #handle(): void {
    if (this.busy || this.#queue[0]?.isReady !== true) return;
    this.names.receive((this.#queue.shift() as { word: ThreadWord }).word);
    setImmediate(() => this.#handle());
  }

  reply(thread: number, reply: ThreadReply, onFailed: () => void): void {
    const to = this.all.find((other) => other.thread === thread);
    if (to === undefined) onFailed();
    else setImmediate(() => to.names.replied(reply));
  }

  seek(name: string): { readonly replies: unknown[]; stop(): void } {
    const replies: unknown[] = [];
    const onReply = ({ socket, fault }: ThreadReply): void => void replies.push(socket ?? fault);
    return { replies, stop: this.names.seek(name, () => `from ${this.id}`, onReply) };
  }

  async bind(name: string): Promise<boolean> {
    if (this.bound.has(name) || (this.names.hasOthers && (await this.names.ask(name)))) return false;
    this.bound.add(name);
    this.names.announce(name);
    return true;
  }
}

function threads(count: number): FakeThread[] {
  const all: FakeThread[] = [];
  for (let i = 0; i < count; i++) new FakeThread(all);
  return all;
}

async function settle(): Promise<void> {
  for (let turns = 0; turns < 20; turns++) await turn();
}

describe("a name", () => {
  it("that refuses a socket is found by the next seek", async () => {
    const [one, two] = threads(2) as [FakeThread, FakeThread];
    one.refuses = true;
    one.bound.add("name");
    const first = two.seek("name");
    await settle();
    first.stop();
    one.refuses = false;
    const second = two.seek("name");
    await settle();
    expect([first.replies, second.replies]).toEqual([["no room"], ["thread-0"]]);
  });

  it("is not sought after the end of the seek, and a later port is closed", async () => {
    const [one, two] = threads(2) as [FakeThread, FakeThread];
    const seek = two.seek("name");
    one.bound.add("name");
    seek.stop();
    await settle();
    expect([seek.replies, one.met]).toEqual([[], ["from thread-1", "closed"]]);
  });

  it("with two owners gives one port, and the other is closed", async () => {
    const [one, two, three] = threads(3) as [FakeThread, FakeThread, FakeThread];
    one.bound.add("name");
    two.bound.add("name");
    const { replies } = three.seek("name");
    await settle();
    expect(replies).toHaveLength(1);
    expect([...one.met, ...two.met].filter((each) => each === "closed")).toHaveLength(1);
  });

  it("is free while a busy thread does not answer, which is known again later", async () => {
    const [one, two] = threads(2) as [FakeThread, FakeThread];
    await settle();
    one.busy = true;
    expect(await two.names.ask("name")).toBe(false);
    one.busy = false;
    one.bound.add("late");
    await settle();
    expect(await two.names.ask("late")).toBe(true);
  });

  it("is asked for again after two asks that a busy thread did not answer", async () => {
    const [one, two] = threads(2) as [FakeThread, FakeThread];
    await settle();
    two.busy = true;
    vi.useFakeTimers({ toFake: ["setTimeout", "setImmediate"] });
    try {
      const asks = Promise.all([one.names.ask("a"), one.names.ask("b")]);
      await vi.advanceTimersByTimeAsync(60);
      expect(await asks).toEqual([false, false]);
    } finally {
      vi.useRealTimers();
    }
    expect(one.names.hasOthers).toBe(true);
  });
});

test("of threads that ask at the same time, in every schedule, exactly one gets the name", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ delay: fc.nat(3), begins: fc.nat(8) }), {
        minLength: 2,
        maxLength: 4,
      }),
      async (plans) => {
        const all = threads(plans.length);
        await settle();
        const bound = Promise.all(
          plans.map(async ({ delay, begins }, i) => {
            const thread = all[i] as FakeThread;
            thread.delay = delay;
            for (let turns = 0; turns < begins; turns++) await turn();
            return thread.bind("name");
          }),
        );
        // Every answer arrives in time, however long a turn takes.
        for (let rounds = 0; rounds < 3; rounds++) await settle();
        vi.advanceTimersByTime(60);
        expect((await bound).filter(Boolean)).toHaveLength(1);
      },
    ),
    { numRuns: 200 },
  );
});
