/** Worker threads that use sockets, and how they end: what they do is in worker-threads-program.js. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { Child, type Outcome } from "./child.js";

const PROGRAM = fileURLToPath(new URL("worker-threads-program.js", import.meta.url));
const ROUNDS = LONG ? 3 : 1;

function tell(engine: string, ...story: string[]): Promise<Outcome> {
  const args = ["--unhandled-rejections=strict", PROGRAM, ...story];
  return new Child(process.execPath, args, { env: { SHOAL_ENGINE: engine } }).outcome;
}

describe("worker threads", () => {
  for (const [how, end] of [
    ["by process.exit", "exit"],
    ["with an error that nobody caught", "error"],
    ["with nothing left to do", "nothing"],
    ["by Worker.terminate, with its sockets closed", "terminate"],
  ] as const) {
    it.runIf(LONG || !how.startsWith("with "))(
      `may end ${how}: the process and its other sockets go on`,
      async () => {
        const outcome = await tell("", "goesOn", end, String(ROUNDS));
        expect(outcome).toMatchObject({ code: 0, signal: null, stderr: "" });
        expect(outcome.stdout).toBe(`${"still\n".repeat(ROUNDS)}given back\n`);
      },
    );
  }

  it("cannot use the engine libzmq, whose addon would end the process with them", async () => {
    const outcome = await tell("libzmq", "isRefused");
    expect(outcome).toMatchObject({ code: 0, stdout: "ERR_ENGINE_UNAVAILABLE\n", stderr: "" });
  });
});
