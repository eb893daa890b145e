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
