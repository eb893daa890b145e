/** What counts against --timeout of a command that talks both ways. */
import { expect, test, vi } from "vitest";
import { converse } from "../../src/cli/session.js";
import { watch } from "../support/settled.js";

/** A session whose other side is silent, and whose input comes when the test says. */
function silence(timeout: number) {
  const lines: ((line: Buffer[]) => void)[] = [];
  const stop = { requested: new AbortController().signal, forced: new AbortController().signal };
  const session = {
    settings: { timeout },
    stop,
    peers: { seen: Promise.resolve() },
    output: { gone: false, print: async () => undefined },
    input: {
      taken: 0,
      lastActive: 0,
      async *messages() {
        for (;;) yield await new Promise<Buffer[]>((resolve) => lines.push(resolve));
      },
    },
    socket: {
      receiveMany: ({ timeout }: { timeout: number }) =>
        new Promise((_, reject) => {
          const error = Object.assign(new Error("nothing came"), { code: "EAGAIN" });
          setTimeout(() => reject(error), timeout);
        }),
    },
  };
  return {
    session: session as unknown as Parameters<typeof converse>[0],
    type: () => lines.shift()?.([Buffer.from("line")]),
  };
}

test("silence counts from the last message that was sent, not from the start", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  const { session, type } = silence(100);
  const sent: number[] = [];
  const send = async (): Promise<boolean> => sent.push(performance.now()) > 0;
  const conversation = watch(converse(session, { send }));
  for (let i = 0; i < 3; i++) {
    await vi.advanceTimersByTimeAsync(60);
    type();
  }
  await vi.advanceTimersByTimeAsync(99);
  expect(sent).toHaveLength(3);
  expect(conversation.state).toBe("pending");
  await vi.advanceTimersByTimeAsync(2);
  expect(conversation.error).toMatchObject({ message: "no message came within 100 ms" });
});
