import { expect, test } from "vitest";
import { RoutingWorld } from "./support.js";

test.each(["Pair", "Channel"] as const)("%s reads what a peer left before what the next sends", (type) => {
  const world = new RoutingWorld({ type });
  const first = world.joined();
  for (const text of ["0", "1", "2"]) first.says(text);
  world.leaves(first);
  const second = world.joined();
  second.says("3");
  second.says("4");
  expect(world.takeAll()).toEqual([["0"], ["1"], ["2"], ["3"], ["4"]]);
});

test("of two connections the first has the place, also before either has shaken hands", () => {
  const world = new RoutingWorld({ type: "Pair" });
  const [first, second] = [world.peer(true), world.peer(true)];
  world.routing.offer("x");
  expect([second, first].map((peer) => world.joins(peer))).toEqual([false, true]);
  first.reads();
  expect(first.messages).toEqual([["x"]]);
});
