/** docs/internals shows the tree as it is: what its pages name exists, and every folder of src is in the map. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { codes, ROOT, tableUnder } from "./support/markdown.js";

const MAP = "internals/map.md";
const FILES = "internals/files.md";

/** The files that a page lists under the headings of their folders: "## `src/core`", then "- `errors.ts`: …". */
function filesIn(page: string): string[] {
  const files: string[] = [];
  let folder = "";
  for (const line of page.split("\n")) {
    folder = /^## `([^`]+)`$/.exec(line)?.[1] ?? folder;
    const [, file] = /^- `([^`]+)`: \S.{9,}/.exec(line) ?? [];
    if (file !== undefined) files.push(`${folder}/${file}`);
  }
  return files;
}

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

  it("has a second half with every file of src once, and no other", () => {
    const listed = filesIn(readFileSync(join(ROOT, "docs", FILES), "utf8"));
    const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
      .map((name) => `src/${name.replaceAll("\\", "/")}`)
      .filter((name) => name.endsWith(".ts") && !name.endsWith("/index.ts"));
    expect(listed.toSorted()).toEqual(files.toSorted());
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
