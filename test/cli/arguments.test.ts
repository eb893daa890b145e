/** Every command and every option, with arguments that are wrong: bad usage, in one line, and nothing has begun. */
import { describe, expect, it } from "vitest";
import { fails, run } from "./in-process.js";

/** A command as its help has it. */
interface Explained {
  readonly words: readonly string[];
  readonly help: string;
}

async function explain(words: readonly string[]): Promise<readonly Explained[]> {
  const help = String((await run("", ...words, "--help")).stdout);
  // The binary's commands are in groups, each under a title of its own.
  const isList = (title: string): boolean =>
    title === "Commands" || (words.length === 0 && !/^(?:Options|Example)/.test(title));
  const lists = [...help.matchAll(/\n([A-Z][^\n]*):\n((?: {2}.*\n)+)/g)];
  const names = lists
    .filter(([, title]) => isList(title as string))
    .flatMap(([, , list]) => [...(list as string).matchAll(/^ {2}([a-z-]+)/gm)])
    .map(([, name]) => name as string);
  const inner = await Promise.all(
    names.filter((name) => name !== "help").map((name) => explain([...words, name])),
  );
  return [...(words.length === 0 ? [] : [{ words, help }]), ...inner.flat()];
}

/** The options that take an argument, each with the word for it. */
function optionsOf({ help }: Explained): readonly (readonly [name: string, argument: string])[] {
  return [...help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+) <([^>]+)>/gm)].map(
    ([, name, argument]) => [name as string, argument as string] as const,
  );
}

/** Fails as bad usage does: one line of its own, exit code 2, nothing on standard output. */
async function expectUsage(words: readonly string[]): Promise<void> {
  const stderr = await fails(2, /^shoal /, words);
  expect(stderr).not.toMatch(/\n\s+at |undefined|\[object/);
}

/** Commands whose options are the same. */
const SOCKETS = "pub sub xpub xsub push pull req rep dealer router pair".split(" ");

describe("wrong arguments", async () => {
  const seen = new Set<string>();
  const commands = await explain([]);

  it("are looked for in all commands", () => {
    const names = commands.map(({ words }) => words.join(" "));
    expect(names).toEqual(
      expect.arrayContaining(["push", "majordomo broker", "clone server", "proxy queue", "tap"]),
    );
    expect(commands.flatMap(optionsOf).length).toBeGreaterThan(200);
  });

  it.each(
    commands.map((each) => [each.words.join(" "), each] as const),
  )("%s refuses them", async (_, each) => {
    await expectUsage([...each.words, "--no-such-option"]);
    for (const [name, argument] of optionsOf(each)) {
      // The benchmarks parse their own (test/bench); a node's name may be any.
      if (!/^(?:N|MS|BYTES|S|PORT)$/.test(argument) || name === "--name" || each.words[0] === "bench")
        continue;
      // Options that commands of one kind share are tested once.
      const key = `${SOCKETS.includes(each.words[0] as string) ? "a socket" : each.words[0]} ${name}`;
      if (seen.has(key)) continue;
      seen.add(key);
      for (const value of ["1.5.1", "9".repeat(40)]) await expectUsage([...each.words, name, value]);
    }
  });
});
