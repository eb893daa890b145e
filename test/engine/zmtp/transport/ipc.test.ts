import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { optionValues } from "../../../../src/core/option-table.js";
import { ipc } from "../../../../src/engine/zmtp/transport/ipc.js";
import { turn, until } from "../../../contract/support/wait.js";
import { start } from "../../../process/child.js";
import { sharedFolder } from "../../../support/folders.js";
import { codeOf, TransportWorld } from "./support.js";

const folder = sharedFolder();
let names = 0;
const freePath = (): string => join(folder, `s${++names}`);

const world = new TransportWorld(ipc);
const ways = [
  ["bind", (endpoint: string) => world.listen(endpoint)],
  ["bindSync", async (endpoint: string) => world.listenSync(endpoint)],
] as const;

/** A path as a killed process leaves it: a socket where nobody listens. */
async function stalePath(): Promise<string> {
  const path = freePath();
  const child = start(
    `import { createServer } from "node:net";
     createServer().listen(process.argv[1], () => { console.log("bound"); });`,
    { args: [path], limit: 10_000 },
  );
  await child.heard("bound");
  await child.kill();
  expect(existsSync(path)).toBe(true);
  return path;
}

describe.each(ways)("%s", (_, listen) => {
  it("at * is refused where the folder of temporary files has too long a path, and makes nothing", async () => {
    const long = join(folder, "t".repeat(90));
    mkdirSync(long, { recursive: true });
    vi.stubEnv("TMPDIR", long);
    try {
      await expect(listen("ipc://*")).rejects.toMatchObject({ code: "ENAMETOOLONG", endpoint: "ipc://*" });
      expect(readdirSync(long)).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it("at * makes a path of its own, another each time, and leaves nothing behind", async () => {
    const listeners = [await listen("ipc://*"), await listen("ipc://*")];
    const paths = listeners.map(({ endpoint }) => endpoint.slice("ipc://".length));
    expect(new Set(paths).size).toBe(2);
    for (const { endpoint } of listeners) await world.connect(endpoint);
    for (const listener of listeners) await listener.close();
    for (const path of paths) expect(existsSync(dirname(path))).toBe(false);
  });

  it.runIf(process.platform === "linux")(
    "at an abstract name leaves no file, and is refused while it is there",
    async () => {
      const endpoint = `ipc://@shoal-test-${process.pid}-${++names}`;
      const listener = await listen(endpoint);
      await world.connect(endpoint);
      expect(await codeOf(listen(endpoint))).toBe("EADDRINUSE");
      expect(existsSync(endpoint.slice("ipc://".length))).toBe(false);
      await listener.close();
      await (await listen(endpoint)).close();
    },
  );

  it("takes over a path that a killed process left", async () => {
    const path = await stalePath();
    const listener = await listen(`ipc://${path}`);
    await world.connect(listener.endpoint);
  });

  it("never removes what is no socket", async () => {
    const file = freePath();
    writeFileSync(file, "somebody's");
    const directory = freePath();
    mkdirSync(directory);
    for (const path of [file, directory]) expect(await codeOf(listen(`ipc://${path}`))).toBe("EADDRINUSE");
    expect(readFileSync(file, "utf8")).toBe("somebody's");
    expect(readdirSync(directory)).toEqual([]);
  });
});

it("bind at a path whose dead socket goes before the probe is a bind", async () => {
  const path = await stalePath();
  const listening = world.listen(`ipc://${path}`);
  // The bind has failed by then, and its probe waits.
  await setTimeout(5);
  rmSync(path);
  const { endpoint } = await listening;
  await world.connect(endpoint);
});

it("dialling cancelled reports nothing and leaves no connection", async () => {
  const { endpoint } = await world.listen(`ipc://${freePath()}`);
  const done = vi.fn();
  for (let i = 0; i < 3; i++) {
    const to = i === 2 ? `ipc://${freePath()}` : endpoint;
    const cancel = ipc.dial(to, optionValues({ connectTimeout: 5 }), done);
    if (i > 0) await Promise.resolve();
    cancel();
    cancel();
  }
  for (let i = 0; i < 10; i++) await turn();
  expect(done).not.toHaveBeenCalled();
  const ends = () => world.accepted.every(({ socket }) => socket.resume().readableEnded || socket.destroyed);
  await until(ends, "the ends");
});
