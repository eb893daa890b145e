/** `shoal majordomo broker --titanic`: requests that outlive the broker. */
import { writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { Child, file, MAIN, run, startWithout, useShoal } from "./support.js";

useShoal();

const CALL = ["majordomo", "call"] as const;

async function statusOf(uuid: string, endpoint: string): Promise<string> {
  const { code, stdout, stderr } = await run("", ...CALL, "titanic.reply", uuid, "--connect", endpoint);
  if (code !== 0) throw new Error(stderr);
  return String(stdout).trim();
}

it("keeps a request when the broker is killed, and answers it once there is a worker", async () => {
  const store = file();
  const titanic = ["majordomo", "broker", "--titanic", store, "--bind"] as const;
  const first = startWithout(...titanic, "tcp://127.0.0.1:*");
  const endpoint = await first.endpoint();
  const kept = await run("", ...CALL, "titanic.request", "upper", "hello", "--connect", endpoint);
  expect([kept.code, String(kept.stdout)]).toEqual([0, expect.stringMatching(/^200 [0-9A-F]{32}\n$/)]);
  const uuid = String(kept.stdout).slice(4, 36);
  expect(await statusOf(uuid, endpoint)).toBe("300");
  first.kill();
  await first.ended;

  const second = startWithout(...titanic, endpoint);
  await second.until("stderr", /keeping requests in .*: 1 wait/);
  const worker = startWithout("majordomo", "worker", "upper", "--connect", endpoint, "--exec", "tr a-z A-Z");
  await worker.until("stderr", /offering upper/);
  let status = "";
  for (let tries = 0; tries < 30 && status !== "200 HELLO"; tries++) status = await statusOf(uuid, endpoint);
  expect(status).toBe("200 HELLO");
  const closed = await run("", ...CALL, "titanic.close", uuid, "--connect", endpoint);
  expect(String(closed.stdout)).toBe("200\n");
  expect(await statusOf(uuid, endpoint)).toBe("400");
  second.process.kill("SIGTERM");
  expect((await second.ended).code).toBe(0);
}, 60_000);

it("says what is missing where the package lmdb is not installed, before it listens", async () => {
  const hook = `${file()}.cjs`;
  writeFileSync(
    hook,
    `const Module = require("node:module");
const resolve = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  if (name === "lmdb") throw Object.assign(new Error("Cannot find module 'lmdb'"), { code: "MODULE_NOT_FOUND" });
  return resolve.call(this, name, ...rest);
};\n`,
  );
  const args = ["majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--titanic", file()];
  const child = new Child(process.execPath, ["--require", hook, MAIN, ...args], { stdin: "ignore" });
  const { code, stderr } = await child.ended;
  expect(stderr).toBe(
    'shoal majordomo broker: --titanic needs the package lmdb; install it with "npm install lmdb"\n',
  );
  expect(code).toBe(1);
});

it("leaves a folder alone that is no store", async () => {
  const store = file();
  writeFileSync(store, "this is a file");
  const { code, stderr } = await run(
    "",
    ...["majordomo", "broker", "--bind", "tcp://127.0.0.1:*", "--titanic", store],
  );
  expect([code, stderr]).toEqual([1, expect.stringContaining(`--titanic ${store}: `)]);
});
