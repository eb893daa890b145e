/** A thread of beats that ends before it has opened its socket. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { ThreadedDatagrams } from "../../../src/cluster/net/threaded-datagrams.js";

const folder = mkdtempSync(join(tmpdir(), "shoal-beats-"));
const { execArgv } = process;

afterEach(() => {
  process.execArgv = execArgv;
  rmSync(folder, { recursive: true, force: true });
});

it("is reported, where a module that the process preloads ends it: nobody waits for it", async () => {
  const preloaded = join(folder, "ends.cjs");
  writeFileSync(preloaded, "if (!require('node:worker_threads').isMainThread) process.exit(0);\n");
  process.execArgv = [...execArgv, "--require", preloaded];
  const datagrams = new ThreadedDatagrams(
    {
      bind: { v4: "127.0.0.1", v6: undefined },
      port: 0,
      group: undefined,
      interfaces: ["127.0.0.1"],
      ttl: 0,
    },
    () => undefined,
    () => undefined,
  );
  await expect(datagrams.open()).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  // Neither does its end wait for the thread.
  await datagrams.close();
});
