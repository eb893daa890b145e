/** A file that is changed as editors, programs and Kubernetes do it is seen once it is written. */
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { FileWatch } from "../../src/config/watch.js";

describe("a file that is watched", () => {
  let folder = "";
  let watch: FileWatch;
  let changes = 0;
  let wake: () => void = () => undefined;
  const changed = async (): Promise<void> => {
    const before = changes;
    while (changes === before)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
  };
  const follow = async (file: string): Promise<void> => {
    watch = new FileWatch(
      file,
      () => {
        changes += 1;
        wake();
      },
      (error) => {
        throw error;
      },
    );
    await watch.start();
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "shoal-watch-"));
  });
  afterEach(() => {
    watch.close();
    rmSync(folder, { recursive: true });
  });

  it("may be written to, replaced, taken away and put back", async () => {
    const file = join(folder, "proxy.yaml");
    writeFileSync(file, "a");
    await follow(file);
    appendFileSync(file, "b");
    await changed();
    writeFileSync(`${file}~`, "c");
    renameSync(`${file}~`, file);
    await changed();
    rmSync(file);
    await changed();
    writeFileSync(file, "d");
    await changed();
  });

  it("may vanish with its folder, and come back in another of the same name", async () => {
    const inner = join(folder, "etc");
    const file = join(inner, "proxy.yaml");
    for (const again of [false, true]) {
      mkdirSync(inner);
      writeFileSync(file, "a");
      if (again)
        await changed(); // Seen though the folder that was watched first is gone.
      else await follow(file);
      appendFileSync(file, "b");
      await changed();
      rmSync(inner, { recursive: true });
      await changed();
    }
  });

  it("may be a link to a folder that is replaced as Kubernetes does", async () => {
    const version = (name: string): void => {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "proxy.yaml"), name);
      symlinkSync(name, join(folder, "..new"));
      renameSync(join(folder, "..new"), join(folder, "..data"));
    };
    version("1");
    const file = join(folder, "proxy.yaml");
    symlinkSync("..data/proxy.yaml", file);
    await follow(file);
    version("2");
    await changed();
    await watch.start(); // It follows the link by now.
    appendFileSync(join(folder, "2", "proxy.yaml"), "more");
    await changed();
  });
});
