import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { removeAfterEach } from "../support/folders.js";
import { ROOT, run } from "./child.js";

const LOOK = `
import { readdirSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { createRequire } from "node:module";
// Node starts its pool of file system threads with the first use: not the package's doing.
await Promise.all(Array.from({ length: 8 }, () => stat("/")));
const look = () => ({
  threads: readdirSync("/proc/self/task").length,
  descriptors: readdirSync("/proc/self/fd").length,
  addon: /\\.node$/m.test(readFileSync("/proc/self/maps", "utf8")),
  required: Object.keys(createRequire(import.meta.url).cache).filter((name) => name.includes("zeromq")).length,
});
`;

describe.skipIf(process.platform !== "linux" && "looks into /proc")("importing the package", () => {
  it("opens no socket, starts no thread and loads no addon", async () => {
    const outcome = await run(`${LOOK}
      const before = look();
      const shoal = await import("shoal");
      await import("shoal/proxy");
      await import("shoal/patterns");
      shoal.curveKeyPair();
      new shoal.Context({ ioThreads: 2 });
      void shoal.context;
      const after = look();
      console.log(JSON.stringify({ before, after }));
    `);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const { before, after } = JSON.parse(outcome.stdout);
    expect(after).toEqual(before);
    expect(after).toMatchObject({ addon: false, required: 0 });
  });

  it("leaves the addon to the first socket of the engine that needs it", async () => {
    const program = `${LOOK}
      const { Push } = await import("shoal");
      const before = look();
      const push = new Push();
      const after = look();
      await push.close();
      console.log(JSON.stringify({ before, after }));`;
    const outcome = await run(program, { env: { SHOAL_ENGINE: "libzmq" } });
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const { before, after } = JSON.parse(outcome.stdout);
    expect(before.addon).toBe(false);
    expect(after.addon).toBe(true);
    expect(after.threads).toBeGreaterThan(before.threads);
  });
});

it("capability.sodium is true where the addon loads, and reading another capability loads no addon", async () => {
  const outcome = await run(
    `${LOOK}
      const { capability } = await import("shoal");
      console.log(capability.curve, look().addon, capability.sodium);`,
    { env: { SHOAL_ENGINE: "zmtp" } },
  );
  expect(outcome).toMatchObject({ code: 0, stdout: "true false true\n", stderr: "" });
});

it("choosing an engine refuses an unknown SHOAL_ENGINE with the known names, at the first socket and not at import", async () => {
  const outcome = await run(
    `import { Push, InvalidArgumentError } from "shoal";
       console.log("imported");
       try { new Push(); } catch (error) {
         console.log(error instanceof InvalidArgumentError, error.code);
         console.log(error.message);
       }`,
    { env: { SHOAL_ENGINE: "carrier-pigeon" } },
  );
  expect(outcome).toMatchObject({ code: 0, stderr: "" });
  const [imported, kind, message] = outcome.stdout.split("\n");
  expect(imported).toBe("imported");
  expect(kind).toBe("true EINVAL");
  expect(message).toMatch(/SHOAL_ENGINE.*libzmq.*carrier-pigeon/);
});

describe("a machine without the packages", () => {
  const makeFolder = removeAfterEach();
  let folder: string;

  beforeEach(async () => {
    // The package alone, of all that an install brings.
    folder = makeFolder();
    const installed = join(folder, "node_modules", "shoal");
    await mkdir(installed, { recursive: true });
    const filter = (path: string): boolean => !/\.(?:map|d\.ts)$/.test(path);
    await cp(join(ROOT, "dist"), join(installed, "dist"), { recursive: true, filter });
    await cp(join(ROOT, "package.json"), join(installed, "package.json"));
  });

  it("has no CURVE, and says what to install", async () => {
    const outcome = await run(
      `import { curveKeyPair, Pull, Push } from "shoal";
       const keys = curveKeyPair();
       const pull = new Pull({ curveServer: true, curveSecretKey: keys.secretKey });
       const push = new Push({ curveServerKey: keys.publicKey, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey });
       const failed = [pull, push].map(
         ({ events }) => new Promise((resolve) => events.once("handshake:error:other", resolve)),
       );
       push.connect(await pull.bind("tcp://127.0.0.1:*"));
       for (const { error } of await Promise.all(failed)) console.log(error.code, error.message);
       await Promise.all([pull.close(), push.close()]);`,
      { cwd: folder, env: { SHOAL_ENGINE: "zmtp" } },
    );
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^(ERR_HANDSHAKE .*npm install libsodium\n){2}$/);
  });

  it("can import the package, and gets one clear error that names the way out", async () => {
    const outcome = await run(
      `import { NotSupportedError, Push, context, curveKeyPair, json } from "shoal";
       console.log(curveKeyPair().publicKey.length, typeof json);
       for (const attempt of [() => new Push(), () => new Push(), () => context.engine]) {
         try { attempt(); } catch (error) {
           console.log(JSON.stringify([error instanceof NotSupportedError, error.code, error.message, error.cause?.code]));
         }
       }`,
      { cwd: folder, env: { SHOAL_ENGINE: "libzmq" } },
    );
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    const [imported, ...attempts] = outcome.stdout.trim().split("\n");
    expect(imported).toBe("40 function");
    expect(attempts).toHaveLength(3);
    for (const attempt of attempts) {
      const [typed, code, message, cause] = JSON.parse(attempt);
      expect([typed, code, cause]).toEqual([true, "ERR_ENGINE_UNAVAILABLE", "MODULE_NOT_FOUND"]);
      expect(message).toMatch(/npm install zeromq/);
      expect(message).toMatch(/SHOAL_ENGINE/);
    }
  });
});
