import { describe, expect, it } from "vitest";
import { KeptLog } from "../../src/cli/node-messages.js";

describe("KeptLog", () => {
  it("gives a reader that knew an earlier run all entries of this one", async () => {
    const log = new KeptLog<string>(10, 1_000);
    log.add("a", 1);
    expect(await log.after(7, 0)).toEqual({ entries: ["a"], next: 1, missed: 0 });
  });

  it("gives a waiting reader of an earlier run the first entry of this one", async () => {
    const log = new KeptLog<string>(10, 1_000);
    const waiting = log.after(7, 60_000);
    log.add("a", 1);
    expect(await waiting).toEqual({ entries: ["a"], next: 1, missed: 0 });
  });
});
