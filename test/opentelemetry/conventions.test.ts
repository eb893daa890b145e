/** The names in src/opentelemetry/conventions.ts are those of the pinned version, and none that it has given up. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as stable from "@opentelemetry/semantic-conventions";
import * as incubating from "@opentelemetry/semantic-conventions/incubating";
import { expect, it } from "vitest";
import * as conventions from "../../src/opentelemetry/conventions.js";

const folder = dirname(createRequire(import.meta.url).resolve("@opentelemetry/semantic-conventions"));

it("has only names of the pinned version", () => {
  const { version } = JSON.parse(readFileSync(join(folder, "../package.json"), "utf8"));
  expect(conventions.SEMANTIC_CONVENTIONS_VERSION).toBe(version);
  const theirs = new Map(
    Object.entries({ ...stable, ...incubating }).map(([name, value]) => [value as unknown, name]),
  );
  const own = Object.entries(conventions).filter(
    ([name, value]) =>
      typeof value === "string" && /^(?:ERROR|MESSAGING|OPERATION|SENT|CONSUMED|PROCESS)_/.test(name),
  );
  expect(own).toHaveLength(12);
  const all = ["experimental_attributes", "experimental_metrics", "stable_attributes"]
    .map((file) => readFileSync(join(folder, `${file}.d.mts`), "utf8"))
    .join("\n");
  for (const [, value] of own) {
    const name = theirs.get(value);
    expect(name, String(value)).toBeDefined();
    // The comment right before it.
    const [before] = all.split(`declare const ${name}:`);
    const comment = before?.slice(before.lastIndexOf("/**"));
    expect(comment, String(value)).not.toContain("@deprecated");
  }
});
