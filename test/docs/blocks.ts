/** Reads the project's pages: their code blocks, links and headings. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A fenced block of a page. */
export interface Block {
  readonly page: string;
  /** Of its first line of code, from 1. */
  readonly line: number;
  readonly language: string;
  /** The words after the language; `no-run` marks a block that is only to be read. */
  readonly info: readonly string[];
  readonly code: string;
}

/** The pages a reader sees, relative to the project: those at the top, and docs/. */
export function pages(): string[] {
  const docs = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).map(
    (name) => `docs/${name.replaceAll("\\", "/")}`,
  );
  return [...readdirSync(ROOT), ...docs].filter((name) => name.endsWith(".md")).sort();
}

/** The sources of the library, relative to the project. */
export function sources(): string[] {
  return readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .map((name) => `src/${name.replaceAll("\\", "/")}`)
    .filter((name) => name.endsWith(".ts"))
    .sort();
}

export const read = (page: string): string => readFileSync(join(ROOT, page), "utf8");

/** The fenced blocks of a page, and its text without them. */
export function split(page: string, text = read(page)): { blocks: Block[]; prose: string } {
  const blocks: Block[] = [];
  const prose: string[] = [];
  let open: { fence: string; line: number; words: string[]; code: string[] } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const fence = /^\s*(```+)(.*)$/.exec(line);
    if (open === undefined) {
      if (fence === null) prose.push(line);
      else
        open = {
          fence: fence[1] ?? "",
          line: index + 2,
          words: (fence[2] ?? "").trim().split(/\s+/),
          code: [],
        };
    } else if (fence?.[1] === open.fence && fence[2]?.trim() === "") {
      const [language = "", ...info] = open.words;
      blocks.push({ page, line: open.line, language, info, code: open.code.join("\n") });
      open = undefined;
    } else open.code.push(line);
  }
  if (open !== undefined) throw new Error(`${page}:${open.line}: the block does not end`);
  return { blocks, prose: prose.join("\n") };
}

/** The examples in the comments of a source: what follows `@example`, as a page's block. */
export function examplesOf(file: string, text = read(file)): Block[] {
  if (!text.includes("@example")) return [];
  // Everything but the blocks is left out, and their lines keep their numbers.
  const lines = text.split("\n").map((line) => /^\s*\* ?(.*)$/.exec(line)?.[1] ?? "");
  const at = new Set(lines.flatMap((line, index) => (line === "@example" ? [index + 3] : [])));
  return split(file, lines.join("\n")).blocks.filter(({ line }) => at.has(line));
}

/** The programs of the pages, and those in comments; of classes that belong together one is in each of them, and is here once. */
export function programs(): Block[] {
  const examples = sources().flatMap((file) => examplesOf(file).map((block) => [block.code, block] as const));
  return [...pages().flatMap((page) => split(page).blocks), ...new Map(examples).values()].filter(
    ({ language }) => language === "ts",
  );
}

/** Classes of a source whose comment has an example. */
export function classesWithExample(text: string): string[] {
  // A line may come between: an interface of the same name, or a word to the linter.
  const comments = text.matchAll(
    /\/\*\*(?:(?!\*\/)[\s\S])*@example(?:(?!\*\/)[\s\S])*\*\/\n(?:.+\n)?export (?:abstract )?class (\w+)/g,
  );
  return Array.from(comments, ([, name = ""]) => name);
}

/** What a heading is reached by, as GitHub makes it. */
export function anchors(text: string): Set<string> {
  const headings = text.matchAll(/^#{1,6}\s+(.+)$/gm);
  return new Set(
    Array.from(headings, ([, heading = ""]) =>
      heading
        .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

/** Targets of the links of a text, but for those to other places. */
export function links(prose: string): string[] {
  return Array.from(
    prose.matchAll(/(?:\]\(|\b(?:src|srcset|href)=")([^)"\s]+)[)"]/g),
    ([, target = ""]) => target,
  ).filter((target) => !/^[a-z]+:/.test(target));
}
