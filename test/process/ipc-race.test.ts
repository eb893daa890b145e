/** Programs that bind one free ipc path at the same moment: exactly one has it. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sharedFolder } from "../support/folders.js";
import { LONG } from "../support/long.js";
import { type Child, start } from "./child.js";

const PROGRAMS = LONG ? 4 : 3;
const ROUNDS = LONG ? 200 : 6;

/** Binds the path of each line that it reads, and prints what came of it; after the next line it has let it go. */
const PROGRAM = `
import { createInterface } from "node:readline";
import { Pull } from "shoal";
let pull;
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [command, endpoint] = line.split(" ");
  if (command === "close") {
    await pull?.close();
    console.log("closed");
    continue;
  }
  pull = new Pull();
  try {
    if (command === "bindSync") pull.bindSync(endpoint);
    else await pull.bind(endpoint);
    console.log("bound");
  } catch (error) {
    console.log(error.code);
  }
}`;

describe("one ipc path, several programs at once", () => {
  const folder = sharedFolder();
  const programs: Child[] = [];

  beforeAll(async () => {
    for (let i = 0; i < PROGRAMS; i++)
      programs.push(start(PROGRAM, { env: { SHOAL_ENGINE: "zmtp" }, limit: LONG ? 120_000 : 90_000 }));
    for (const program of programs) await program.heard("ready");
  });

  afterAll(() => Promise.all(programs.map((program) => program.kill())));

  const all = (line: string): Promise<string[]> => {
    for (const program of programs) program.tell(line);
    return Promise.all(programs.map((program) => program.line()));
  };

  it.each(["bind", "bindSync"])("%s succeeds in exactly one", async (command) => {
    // Each refused bindSync starts a thread.
    const rounds = command === "bindSync" && LONG ? ROUNDS / 10 : ROUNDS;
    for (let round = 0; round < rounds; round++) {
      const path = join(folder, `${command}-${round}`);
      const outcomes = await all(`${command} ipc://${path}`);
      expect(outcomes.sort(), `round ${round}`).toEqual([...Array(PROGRAMS - 1).fill("EADDRINUSE"), "bound"]);
      expect(existsSync(path)).toBe(true);
      await all("close");
      expect(readdirSync(folder)).toEqual([]);
    }
  });
});
