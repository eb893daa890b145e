/** The folders of sockets among temporary files: none outlives its program, unless that is killed. */
import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import { removeAfterEach } from "../support/folders.js";
import { start } from "./child.js";

/** For the temporary files of the programs of a test. */
const temporary = removeAfterEach();
const PROGRAM = `
  import { readdirSync } from "node:fs";
  import { Context, Pull } from "shoal";
  import { ClusterNode } from "shoal/cluster";
  const node = new ClusterNode({ name: "one", cluster: "folders", multicast: false, messaging: { protocols: ["ipc"] } });
  await node.start();
  console.log("ready");
  await new Pull({ context: new Context({ engine: "zmtp" }) }).bind("ipc://*");
  console.log(readdirSync(process.env.TMPDIR).join());
  process.exit(0);
`;

/** That of a node, or of `ipc://*`. */
const SOCKET_FOLDER = /^shoal-(m-)?[A-Za-z0-9]{6}$/;

it("the folder of a socket goes with a program that ends without closing", async () => {
  const folder = temporary();
  const child = start(PROGRAM, { env: { TMPDIR: folder, XDG_RUNTIME_DIR: folder } });
  expect(await child.line()).toBe("ready");
  const had = (await child.line()).split(",").filter((name) => SOCKET_FOLDER.test(name));
  expect(had).toHaveLength(2);
  expect((await child.outcome).code).toBe(0);
  expect(readdirSync(folder).filter((name) => SOCKET_FOLDER.test(name))).toEqual([]);
});
