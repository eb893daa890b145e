/** One word for one thing, in plain English: what pages, sources, benchmarks, examples and the titles of tests do not say. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pages, read, split } from "../docs/blocks.js";
import { ROOT } from "./support/markdown.js";

/** What is not written, and what is instead. */
const WORDS: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\bfor ever\b/i, "forever"],
  [/\banew\b/i, "again"],
  [/\bcalled off\b/i, "aborted"],
  [/\bwhoever\b/i, "the subject's name"],
  [/\bbeside\b/i, "alongside, next to, in addition to, compared with"],
  [/\bundecoded\b/i, "relayed, without decoding"],
  [/\bstretch(?:es)?\b/i, "batch, period"],
  [/\bin hand\b/i, "in flight, pending"],
  [/\baccounts\b/i, "statistics, counters"],
  [/\bgood-?bye\b/i, "what is sent: a disconnect, a command"],
  [/\bgrave\b/i, "severe"],
  [/\bdid not happen within\b/i, "no … within"],
  [/\btells?\b|\btold\b/i, "reports, sends, returns"],
  [/\bnews\b/i, "broadcasts, publications, reports"],
  [/\bjudg(?:e[ds]?|ing|ements?)\b/i, "authenticates, checks, decides"],
  [
    /\b(?:and|that|which|it|but|one) (?:is|are|was) none\b|\b(?:is|are) none (?:of|either)\b/i,
    "invalid, is not a …",
  ],
  [
    /\bare no (?:keys|messages|frames)\b|\bis no (?:ZeroMQ|JSON|text|number|key|failure)\b|(?<!there )is no message\b/i,
    "is not a …",
  ],
  [/\ba (line|message|file|row|object|frame|process) a (?!\1)[a-z]+\b/i, "one per …"],
];

/** Parts of lines that have a word in another sense. */
const EXCEPTIONS: readonly string[] = [
  "accounts for every message", // The verb.
  "makes a file a binary one",
  "`holding` (`tell`, `hear`)", // An old name.
];

const SOURCE = /\.(?:[jt]s|py|h|c)$/;

function sourcesIn(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => SOURCE.test(name) && !name.endsWith(".d.ts"))
    .map((name) => `${folder}/${name.replaceAll("\\", "/")}`);
}

/** The comments and titles of a test: what it sends and expects may have any word. */
function titlesOf(text: string): string {
  const lines = text.split("\n").map((line) => {
    const [comment] = /(?:^\s*(?:\/\*\*?|\*)|(?<!:)\/\/).*$/.exec(line) ?? [];
    const [, title] = /(?:\b(?:it|test|describe)\b[^"`]*\(|^\s*[\])].*\()(["`].*)$/.exec(line) ?? [];
    return `${comment ?? ""} ${title ?? ""}`;
  });
  return lines.join("\n");
}

/** What begins a paragraph of its own: an item, a row, a heading, a tag of a comment. */
const BEGINS = /^(?:[-*|>@]|#+ |\d+\. )/;
/** A line of a comment, without its marks. */
const COMMENT = /^\s*(?:\/\*\*?|\*(?!\/)|\/\/|#)(?:\s+(.*?))?\s*(?:\*\/)?\s*$/;

/**
 * The lines of each paragraph as one, so that a phrase is found wherever its lines break.
 *
 * @param isProse all of it is text; else only its comments are, and other lines are as they stand
 */
function paragraphs(text: string, isProse: boolean): string[] {
  const found: string[] = [];
  let isOpen = false;
  for (const line of text.split("\n")) {
    const comment = COMMENT.exec(line);
    const part = isProse ? line.trim() : comment === null ? undefined : (comment[1] ?? "");
    if (part === undefined) found.push(...(/\w/.test(line) ? [line.trim()] : []));
    else if (isOpen && part !== "" && !BEGINS.test(part)) found.push(`${found.pop()} ${part}`);
    else if (part !== "") found.push(part);
    isOpen = part !== undefined && part !== "";
  }
  return found;
}

/** What a reader reads: pages without their code, sources with theirs, and of tests the comments and titles. */
function texts(): Map<string, string[]> {
  const named = (names: readonly string[], shown: (text: string) => string) =>
    names.map((name) => [name, paragraphs(shown(readFileSync(join(ROOT, name), "utf8")), false)] as const);
  return new Map([
    ...pages().map((page) => [page, paragraphs(split(page).prose, true)] as const),
    ...named(["bench", "demo", "examples", "scripts", "src"].flatMap(sourcesIn), (text) => text),
    ...named(
      sourcesIn("test").filter((name) => name !== "test/docs-tables/vocabulary.test.ts"),
      titlesOf,
    ),
  ]);
}

describe("the vocabulary", () => {
  const all = texts();

  it("finds its words", () => {
    for (const line of ["It waits for ever.", "one that is none", "prints a line a message", "the news"])
      expect(WORDS.filter(([word]) => word.test(line))).toHaveLength(1);
    expect(read("README.md").length).toBeGreaterThan(1_000);
  });

  it("finds its phrases wherever their lines break, and not where a paragraph, an item or code is between", () => {
    const comment = "/**\n * It waits for\n * ever.\n *\n * For\n */\nconst ever = 1; // Called\n// off.\n";
    expect(paragraphs(comment, false)).toEqual([
      "It waits for ever.",
      "For",
      "const ever = 1; // Called",
      "off.",
    ]);
    const page = "One that is\nnone.\n\n- a line\n  a message\n- for\n- ever\n";
    expect(paragraphs(page, true)).toEqual(["One that is none.", "- a line a message", "- for", "- ever"]);
    const python = "# It waits for\n# ever.\nx = 1\n";
    expect(paragraphs(python, false)).toEqual(["It waits for ever.", "x = 1"]);
  });

  it("reads a test's comments and titles, and not its data", () => {
    const lines = ['it("one", () => {', 'const two = ["two"]; // three', '])("four %s", () => {', " * five"];
    expect(titlesOf(lines.join("\n")).match(/one|two|three|four|five/g)).toEqual([
      "one",
      "three",
      "four",
      "five",
    ]);
  });

  it.each(WORDS)("does not have %s (instead: %s)", (word) => {
    const found: string[] = [];
    for (const [name, text] of all)
      for (const line of text) {
        const shown = EXCEPTIONS.reduce((left, part) => left.replaceAll(part, ""), line);
        const at = shown.search(word);
        if (at >= 0) found.push(`${name}: ${shown.slice(Math.max(0, at - 100), at + 100)}`);
      }
    expect(found).toEqual([]);
  });
});
