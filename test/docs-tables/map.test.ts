/** docs/internals shows the tree as it is: what its pages name exists, and every folder of src is in the map. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { codes, ROOT, tableUnder } from "./support/markdown.js";

const MAP = "internals/map.md";

describe("docs/internals/map.md", () => {
  it("names only files and folders that exist", () => {
    const named = codes(readFileSync(join(ROOT, "docs", MAP), "utf8")).filter((name) =>
      /[a-z]\/[a-z]/.test(name),
    );
    expect(named.length).toBeGreaterThan(100);
    expect(named.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  });

  it.each([
    "walks.md",
    "engine.md",
    "hot-path.md",
  ])("has a neighbour that names only files that exist: %s", (page) => {
    const named = codes(
      readFileSync(join(ROOT, "docs/internals", page), "utf8").replaceAll(/```.*?```/gs, ""),
    ).filter((name) => /^[a-z-]+\/[a-z-]+[^ ]*$/.test(name));
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
  });

  it("has every folder of src", () => {
    const listed = new Set(
      tableUnder(MAP, "The folders of the source").flatMap(([folder]) => codes(folder ?? "")),
    );
    const folders = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => dirname(`src/${name}`).replaceAll("\\", "/"));
    expect([...new Set(folders)].filter((folder) => folder !== "src" && !listed.has(folder))).toEqual([]);
  });
});
