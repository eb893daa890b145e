/** One word for one thing, in plain English: what the pages, the binary, the benchmarks and the examples do not say. */
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
  [/\bundecoded\b/i, "relayed"],
  [/\bstretch(?:es)?\b/i, "batch"],
  [/\bin hand\b/i, "in flight, pending"],
  [/\baccounts\b/i, "statistics, counters"],
  [/\bgood-?bye\b/i, "what is sent: a disconnect, a command"],
  [/\bgrave\b/i, "severe"],
  [/\bdid not happen within\b/i, "no … within"],
  [/\btells\b|\b(?:is|are|was|be) told\b/i, "reports, sends, returns"],
  [/\bnews\b/i, "broadcasts, reports"],
  [/\b(?:and|that) (?:is|are) none\b|\b(?:is|are) none (?:of|either)\b/i, "invalid, is not a …"],
  [
    /\bare no (?:keys|messages|frames)\b|\bis no (?:ZeroMQ|JSON|text|number|key|message|failure)\b/i,
    "is not a …",
  ],
  [/\ba (line|message|file|row|object|frame|process) a (?!\1)[a-z]+\b/i, "one per …"],
];

/** Parts of lines that have a word in another sense. */
const EXCEPTIONS: readonly string[] = [
  "accounts for every message", // The verb.
  "makes a file a binary one",
];

/** What a reader reads: pages without their code, and sources with theirs. */
function texts(): Map<string, string> {
  const sources = ["bench", "demo", "examples", "scripts", "src/cli"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => /\.(?:[jt]s|py|h|c)$/.test(name) && !name.endsWith(".d.ts"))
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`),
  );
  return new Map([
    ...pages().map((page) => [page, split(page).prose] as const),
    ...sources.map((name) => [name, readFileSync(join(ROOT, name), "utf8")] as const),
  ]);
}

describe("the vocabulary", () => {
  it("finds its words", () => {
    for (const line of ["It waits for ever.", "one that is none", "prints a line a message", "the news"])
      expect(WORDS.filter(([word]) => word.test(line))).toHaveLength(1);
    expect(read("README.md").length).toBeGreaterThan(1_000);
  });

  it.each(WORDS)("does not have %s (instead: %s)", (word) => {
    const found: string[] = [];
    for (const [name, text] of texts())
      for (const line of text.split("\n"))
        if (word.test(line) && !EXCEPTIONS.some((part) => line.includes(part)))
          found.push(`${name}: ${line.trim()}`);
    expect(found).toEqual([]);
  });
});
