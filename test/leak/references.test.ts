/** What a program forgets or stops using is given back, too: each program is a function of references.js. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Child } from "../process/child.js";

const PROGRAM = fileURLToPath(new URL("references.js", import.meta.url));

/** @returns what a program printed that ended well */
async function ran(story: string): Promise<unknown> {
  const args = ["--expose-gc", "--unhandled-rejections=strict", PROGRAM, story];
  const { code, stdout, stderr } = await new Child(process.execPath, args).outcome;
  expect([code, stderr]).toEqual([0, ""]);
  return JSON.parse(stdout);
}

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("a process gets back", () => {
  it("sockets that were only connected and then forgotten", async () => {
    expect(await ran("forgottenSockets")).toEqual({ collected: true, closed: true });
  });

  it("the listeners on one long-lived signal that thousands of waits used, without a warning", async () => {
    const { grown, listeners } = (await ran("signalOfWaits")) as { grown: number; listeners: number };
    expect(listeners).toBe(0);
    expect(grown).toBeLessThan(200_000);
  });

  it("the listeners on a signal whose waits ended by the closing of their socket", async () => {
    const { codes, listeners } = (await ran("signalOfClosedSockets")) as {
      codes: string[];
      listeners: number;
    };
    expect(listeners).toBe(0);
    for (const code of codes) expect(["EAGAIN", "EBADF", "event"]).toContain(code);
  });

  it("event listeners that were removed, and those of closed sockets", async () => {
    expect(await ran("eventListeners")).toEqual({ collected: true, closed: false });
  });

  it("the memory of messages that were received, sent or withdrawn", async () => {
    const { left } = (await ran("messages")) as { left: number };
    // 90 MB went through; what is there is the collector's and the allocator's.
    expect(left).toBeLessThan(20_000_000);
  });
});
