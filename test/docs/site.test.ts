/** What the site is made of, without its packages: every page has a place, every diagram can be drawn, every program is shown. */
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { pages, ROOT, split } from "./blocks.js";

interface Graph {
  readonly nodes: ReadonlyMap<string, unknown>;
  readonly edges: readonly { readonly from: string; readonly to: string; readonly label: string }[];
}

const load = (file: string): Promise<unknown> => import(pathToFileURL(`${ROOT}site/${file}`).href);
const { PARTS } = (await load("contents.js")) as {
  readonly PARTS: readonly { readonly title: string; readonly pages: readonly string[] }[];
};
const { readFlow, readStates, readSequence } = (await load("graph.js")) as {
  readFlow(text: string): Graph;
  readStates(text: string): Graph;
  readSequence(text: string): {
    readonly participants: ReadonlyMap<string, string>;
    readonly steps: unknown[];
  };
};

describe("the site", () => {
  test("has each page of docs/ once", () => {
    const listed = PARTS.flatMap(({ pages }) => pages).filter((name) => !name.startsWith("../"));
    const present = pages().flatMap((page) => /^docs\/(.+)\.md$/.exec(page)?.[1] ?? []);
    expect([...listed].sort()).toEqual(present.sort());
  });

  const diagrams = pages().flatMap((page) =>
    split(page).blocks.filter(({ language }) => language === "mermaid"),
  );

  test.each(
    diagrams.map((block) => [`${block.page}:${block.line}`, block.code] as const),
  )("%s is a diagram that the site can draw", (_, code) => {
    if (code.startsWith("sequenceDiagram")) {
      const { participants, steps } = readSequence(code);
      expect(participants.size).toBeGreaterThan(1);
      expect(steps).toHaveLength(code.split("\n").filter((line) => /->>|Note/.test(line)).length);
    } else {
      const { nodes, edges } = code.startsWith("stateDiagram") ? readStates(code) : readFlow(code);
      expect(nodes.size).toBeGreaterThan(1);
      expect(edges.length).toBeGreaterThan(1);
    }
  });

  test("reads nodes, links and their texts", () => {
    const { edges } = readFlow(
      'flowchart LR\n  a[An end] & b -->|"one, two"| c((x))\n  c -. three .-> d -- four --> a',
    );
    expect(edges.map(({ from, to, label }) => `${from} ${to} ${label}`)).toEqual([
      "a c one, two",
      "b c one, two",
      "c d three",
      "d a four",
    ]);
    expect(() => readFlow("flowchart LR\n  a --x b")).toThrow("not a line of a diagram: a --x b");
  });
});
