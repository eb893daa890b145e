import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { LinksWorld } from "./links-world.js";

let world: LinksWorld;
beforeEach(() => {
  world = new LinksWorld();
});
afterEach(() => world.close());

describe("links between two nodes", () => {
  test("items arrive in order, and are acknowledged", async () => {
    const a = await world.node("a");
    const b = await world.node("b");
    for (let i = 0; i < 1_000; i++) expect(a.send(b, `item ${i}`)).toBe("sent");
    await b.until(() => b.items.length === 1_000);
    expect(b.texts).toEqual(Array.from({ length: 1_000 }, (_, i) => `item ${i}`));
    expect(b.items[0]).toEqual({ from: a.id, kind: 2, text: "item 0" });
    await a.links.close(5_000);
    expect(a.links.stats().former).toEqual({ sent: 1_000, delivered: 1_000, dropped: 0, lost: 0, resent: 0 });
    expect(a.peers).toEqual([[b.id, "up"]]);
  });
});
