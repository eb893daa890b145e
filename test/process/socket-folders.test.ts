/** The folders of sockets among temporary files: none outlives its program for long, however that ends. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type Child, start } from "./child.js";

const folders: string[] = [];
const children: Child[] = [];
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => (child.running ? child.kill() : undefined)));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** For the temporary files of the programs of a test. */
function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "shoal-folders-"));
  folders.push(folder);
  return folder;
}

function program(source: string, folder: string): Child {
  const child = start(source, { env: { TMPDIR: folder, XDG_RUNTIME_DIR: folder } });
  children.push(child);
  return child;
}

const NODE = `
  import { ClusterNode } from "shoal/cluster";
  const node = new ClusterNode({ name: "one", group: "folders", multicast: false, messaging: { protocols: ["ipc"] } });
  await node.start();
  console.log("ready");
`;

/** That of a node, or of `ipc://*`. */
const SOCKET_FOLDER = /^shoal-(m-)?[A-Za-z0-9]{6}$/;
const ofNodes = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.startsWith("shoal-m-"));

/** As if nothing had happened in it for an hour. */
function age(path: string): void {
  const then = Date.now() / 1_000 - 3_600;
  utimesSync(path, then, then);
}

describe("the folder of a socket", () => {
  it("goes with a program that ends without closing", async () => {
    const folder = temporary();
    const child = program(
      `${NODE}
      import { readdirSync } from "node:fs";
      import { Context, Pull } from "shoal";
      await new Pull({ context: new Context({ engine: "zmtp" }) }).bind("ipc://*");
      console.log(readdirSync(process.env.TMPDIR).join());
      process.exit(0);`,
      folder,
    );
    expect(await child.line()).toBe("ready");
    const had = (await child.line()).split(",").filter((name) => SOCKET_FOLDER.test(name));
    expect(had).toHaveLength(2);
    expect((await child.outcome).code).toBe(0);
    expect(readdirSync(folder).filter((name) => SOCKET_FOLDER.test(name))).toEqual([]);
  });

  it("of a killed one goes with the next node that starts, and no other does", async () => {
    const folder = temporary();
    const lives = program(NODE, folder);
    await lives.line();
    const [living] = ofNodes(folder);
    const dies = program(NODE, folder);
    await dies.line();
    await dies.kill();
    const [killed] = ofNodes(folder).filter((name) => name !== living);
    // With another file, open to others, a link, and one that is being made.
    const [used, open, link, fresh] = ["used00", "open00", "link00", "fresh0"].map(
      (name) => `shoal-m-${name}`,
    ) as [string, string, string, string];
    for (const name of [used, open, fresh]) mkdirSync(join(folder, name), { mode: 0o700 });
    writeFileSync(join(folder, used, "mine"), "");
    chmodSync(join(folder, open), 0o755);
    symlinkSync(join(folder, open), join(folder, link));
    for (const name of [living, killed, used, open]) age(join(folder, name as string));

    const next = program(NODE, folder);
    await next.line();
    const left = ofNodes(folder);
    expect(left).not.toContain(killed);
    expect(left).toEqual(expect.arrayContaining([living, used, open, link, fresh]));
    expect(left).toHaveLength(6);
    expect(existsSync(join(folder, used, "mine"))).toBe(true);
  });
});
