/** The order in which a broker hears of its peers: a departure comes after the last message. */
import { expect, it } from "vitest";
import type { Router } from "../../../src/index.js";
import { RouterReader } from "../../../src/patterns/kit/router-reader.js";
import { turn } from "../../contract/support/wait.js";

/** A ROUTER that a test fills. */
class FakeRouter {
  readonly closed = false;
  readonly waiting: Buffer[][] = [];
  leave: (event: { routingId?: Buffer }) => void = () => undefined;
  readonly events = {
    on: (_: string, listener: (event: { routingId?: Buffer }) => void) => {
      this.leave = listener;
    },
  };
  #wake: (() => void) | undefined;

  get readable(): boolean {
    return this.waiting.length > 0;
  }

  async receiveMany({ max }: { max: number }): Promise<Buffer[][]> {
    if (this.waiting.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.waiting.splice(0, max);
  }

  arrive(...messages: string[]): void {
    for (const message of messages) this.waiting.push([Buffer.from("w"), Buffer.from(message)]);
    this.#wake?.();
  }
}

function start(room: (heard: readonly string[]) => number) {
  const router = new FakeRouter();
  const heard: string[] = [];
  const reader = new RouterReader(router as unknown as Router, {
    room: () => room(heard),
    message: ([, body]) => heard.push(String(body)),
    left: (id) => heard.push(`${id} left`),
    afterBatch: () => undefined,
  });
  return { router, heard, reader };
}

it("reports a peer's departure after what it had sent", async () => {
  const { router, heard } = start(() => 1);
  router.arrive("one", "two");
  router.leave({ routingId: Buffer.from("w") });
  expect(heard).toEqual([]);
  await turn();
  expect(heard).toEqual(["one", "two", "w left"]);
  router.leave({ routingId: Buffer.from("v") });
  router.leave({});
  expect(heard.at(-1)).toBe("v left");
});

it("reads no more than there is room for, and reports departures meanwhile", async () => {
  let room = 2;
  const { router, heard, reader } = start(
    (all) => room - all.filter((what) => !what.endsWith("left")).length,
  );
  router.arrive("one", "two", "three");
  await turn();
  expect(heard).toEqual(["one", "two"]);
  router.leave({ routingId: Buffer.from("w") });
  expect(heard.at(-1)).toBe("w left");
  room = 3;
  reader.resume();
  await turn();
  expect(heard.at(-1)).toBe("three");
});
