/** Turns of sends at services: in the order in which they joined; bounded; nothing is kept of a line that is empty. */
import { describe, expect, it } from "vitest";
import { MAX_WAITING_SEND_BYTES, MAX_WAITING_SENDS } from "../../../src/cluster/messaging/bounds.js";
import { SendLines } from "../../../src/cluster/messaging/send-lines.js";
import { settle } from "./service-world.js";

describe("a line", () => {
  it("lets one in when all before it have left, and nobody past one that left before its turn", async () => {
    const lines = new SendLines();
    const [one, two, three] = [lines.join("b", 1), lines.join("b", 1), lines.join("b", 1)] as const;
    const log: string[] = [];
    void two.before?.then(() => void log.push("two"));
    void three.before?.then(() => void log.push("three"));
    expect(one.before).toBeUndefined();
    two.leave();
    await settle();
    expect(log).toEqual([]);
    one.leave();
    await settle();
    expect(log).toEqual(["two", "three"]);
    expect([lines.has("b"), lines.has("c")]).toEqual([true, false]);
    three.leave();
    expect(lines.has("b")).toBe(false);
    expect(lines.join("b", 1).before).toBeUndefined();
  });

  it("is full by count and by bytes, of which one may have any number, and has room when some have left", () => {
    const lines = new SendLines();
    const large = lines.joinAll([{ id: "b" }, { id: "c" }], 2 * MAX_WAITING_SEND_BYTES);
    expect([...large.keys()]).toEqual(["b", "c"]);
    expect([lines.isFull("b", 0), lines.isFull("d", MAX_WAITING_SEND_BYTES + 1)]).toEqual([true, false]);
    expect([...lines.joinAll([{ id: "b" }, { id: "d" }], 1).keys()]).toEqual(["d"]);
    const turn = large.get("b");
    turn?.leave();
    turn?.leave();
    expect(lines.isFull("b", 0)).toBe(false);
    const turns = Array.from({ length: MAX_WAITING_SENDS }, () => lines.join("b", 0));
    expect(lines.isFull("b", 0)).toBe(true);
    turns[7]?.leave();
    expect(lines.isFull("b", 0)).toBe(false);
  });
});
