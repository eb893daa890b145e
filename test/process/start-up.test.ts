/** What a program reads when it starts: forty nodes that start on one machine wait for its processor alone. */
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { filesOf, ROOT, run } from "./child.js";

const DIST = join(ROOT, "dist");

const names = (files: Iterable<string>): string[] => [...files].map((file) => basename(file));

// Where the bundler does not run, each module is a file.
describe.skipIf(!existsSync(join(DIST, "chunks")))("what is read at a start", () => {
  it("of a program with sockets: two files, and those of no command", () => {
    expect(names(filesOf(join(DIST, "index.js"))).sort()).toEqual(["core.js", "index.js", "sockets.js"]);
  });

  it("of a program with links: nothing of sockets", () => {
    expect(names(filesOf(join(DIST, "link/index.js"))).sort()).toEqual(["core.js", "index.js"]);
  });

  it("of a program with a cluster: no file of a command, and no package", () => {
    const files = names(filesOf(join(DIST, "cluster/index.js")));
    expect(files.length).toBeLessThanOrEqual(8);
    expect(files.filter((name) => name.startsWith("package-") || /^(?:cli|node)/.test(name))).toEqual([]);
  });

  it("of shoal node start: few files, and of the packages only what parses its arguments", () => {
    const start = readdirSync(join(DIST, "chunks")).filter((name) => /^node(?:-start)?\.js$/.test(name));
    expect(start).toEqual(["node-start.js", "node.js"]);
    const read = [join(DIST, "cli/main.js"), ...start.map((name) => join(DIST, "chunks", name))];
    const files = new Set(read.flatMap((file) => [...filesOf(file)]));
    expect(files.size).toBeLessThanOrEqual(16);
    expect(names(files).filter((name) => name.startsWith("package-"))).toEqual(["package-commander.js"]);
  });

  it("of a cluster: no HTTP, and no words of a language, which take the processor longer than a node's sockets", async () => {
    const program = `
      for (const name of ["toLocaleString", "toLocaleDateString"])
        Number.prototype[name] = () => { throw new Error(name); };
      const { ClusterNode } = await import(${JSON.stringify(join(DIST, "cluster/index.js"))});
      const node = new ClusterNode({ cluster: "start-up-${process.pid}", multicast: false });
      await node.start();
      console.log(JSON.stringify(process.moduleLoadList.filter((name) => /https?$/.test(name))));
      await node.close();
    `;
    expect(await run(program)).toMatchObject({ code: 0, stdout: "[]\n" });
  });
});
