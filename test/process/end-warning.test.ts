/** The warning for a program that cannot end because messages wait, as from the package `zeromq`. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { LONG } from "../support/long.js";
import { run } from "./child.js";

const WAITING = String.raw`\(node:\d+\) WARNING: Waiting for queued ZeroMQ messages to be delivered\.`;

describe.each(
  ENGINE_NAMES.slice(0, LONG ? undefined : 1),
)("a process that ends with messages for nobody, on the engine %s", (engine) => {
  const end = (linger: number, blocky: boolean): Promise<{ code: number | null; stderr: string }> =>
    run(
      `import { context, Dealer } from "shoal";
       context.blocky = ${blocky};
       const dealer = new Dealer({ linger: ${linger} });
       dealer.connect("tcp://127.0.0.1:9");
       await dealer.send("to nobody");`,
      { env: { SHOAL_ENGINE: engine } },
    );

  it("warns when it waits for longer than half a second, and says what changes that", async () => {
    const { code, stderr } = await end(800, true);
    expect(stderr).toMatch(
      new RegExp(`${WAITING} Set 'context\\.blocky = false' to change this behaviour\\.\\n`),
    );
    expect(code).toBe(0);
  });

  it("gives no advice that has been followed", async () => {
    expect((await end(800, false)).stderr).toMatch(new RegExp(`${WAITING}\\n`));
  });

  it("says nothing of a short wait", async () => {
    expect(await end(50, true)).toMatchObject({ code: 0, stderr: "" });
  });
});
