/** bench/browser.js runs, and prints what it is there for. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { missing, peerAt } from "../support/peers.js";

const reason = missing("chromium");
const SCRIPT = join(import.meta.dirname, "../../bench/browser.js");

describe.skipIf(reason)(`bench/browser.js${reason === false ? "" : `: ${reason}`}`, () => {
  it("compares a page with Node.js", async () => {
    const args = [SCRIPT, "--smoke", "--chromium", peerAt("chromium")];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 });
    for (const name of ["receiveMany msg/s", "receive msg/s", "round trip ms"])
      expect(stdout).toMatch(new RegExp(`^${name} +page +[\\d,.]+ +Node\\.js +[\\d,.]+ +ratio \\d`, "m"));
    expect(stdout).toMatch(
      /a bare WebSocket's round trip in the page takes [\d.]+ ms, on Node\.js [\d.]+ ms/,
    );
  });
});
