/** How long a node has been running, as an operator reads it. */
import { expect, it } from "vitest";
import { NODE_COMMANDS, type SteeredNode } from "../../src/cli/node-commands.js";

it("shoal node uptime prints seconds", () => {
  const { run, text } = NODE_COMMANDS.uptime ?? {};
  const reply = run?.({ uptime: () => ({ uptime: 12_345 }) } as unknown as SteeredNode, {});
  expect(text?.(reply as { uptime: number })).toEqual(["12.3 s"]);
});
