/**
 * inproc between the worker threads of a process, with the built package: what they do is in inproc-threads-program.js. Names, places and
 * queues alone are in test/engine/zmtp/threads.
 */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { Child } from "./child.js";

/** Rounds of terminated threads: each of four programs and four moments comes in 4, each size with each of them in 12. */
const ROUNDS = LONG ? 60 : 4;
/** ms for all stories. */
const LIMIT = LONG ? 600_000 : 60_000;
const TIMEOUT = { timeout: LIMIT + 10_000 };

/** What each story said; they are told one after the other in one process. */
let told: Promise<ReadonlyMap<string, readonly string[]>> | undefined;

async function tellAll(): Promise<ReadonlyMap<string, readonly string[]>> {
  const program = fileURLToPath(new URL("inproc-threads-program.js", import.meta.url));
  const args = ["--unhandled-rejections=strict", program, String(ROUNDS)];
  const options = { env: { SHOAL_ENGINE: "zmtp" }, limit: LIMIT };
  const { code, stdout, stderr } = await new Child(process.execPath, args, options).outcome;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return new Map(
    stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  );
}

async function saidBy(story: string): Promise<readonly string[]> {
  told ??= tellAll();
  return (await told).get(story) ?? [];
}

describe("inproc between threads", () => {
  it.each([
    ["worker", "asksWorker"],
    ["main", "asksMain"],
  ])("carries requests and replies, bound by the %s thread", TIMEOUT, async (_, story) => {
    expect(await saidBy(story)).toEqual(["100 0"]);
  });

  it("connects in either order of bind and connect, and again after unbind and bind", TIMEOUT, async () => {
    const all = ["before any bind", "to the second", "to the third", "0"];
    expect(await saidBy("connectsInEitherOrder")).toEqual(all);
  });

  it("refuses a name that another thread has bound, and gives it when that is unbound", TIMEOUT, async () => {
    expect(await saidBy("refusesBoundNames")).toEqual([
      "EADDRINUSE after blocking the thread",
      "EADDRINUSE Cannot bind inproc://mine: the address is in use, by another thread",
      "inproc://theirs",
      "EADDRINUSE",
      "inproc://mine",
      "theirs",
    ]);
  });

  it("reports the same events as within a thread, and why a peer has left", TIMEOUT, async () => {
    const said = await saidBy("reportsEvents");
    // A worker's words come when they come.
    const words = said.filter((line) => /^(closes|dies) (?!disconnect)/.test(line));
    expect(words).toEqual(
      ["closes", "dies"].flatMap((name) =>
        ["handshake", "peer:join"].map((type) => `${name} ${type} inproc://events `),
      ),
    );
    expect(said.filter((line) => !/^(closes|dies)/.test(line))).toEqual([
      "join inproc://events closes",
      "leave remote closes",
      "join inproc://events dies",
      "leave remote dies",
      "0",
    ]);
  });

  it("loses nothing when a sender closes, or its thread ends by itself, at once", TIMEOUT, async () => {
    const all = ["close", "exit", "nothing"].map((how) => `${how} 0 5000 3000000 true`);
    expect(await saidBy("losesNothing")).toEqual(all);
  });

  it(
    "copies a large message once: the receiver has the memory that was transferred, and it is not to be transferred on",
    TIMEOUT,
    async () => {
      expect(await saidBy("copiesOnce")).toEqual(["8000000 false 9 true", "8000000", "done"]);
    },
  );
});

it(
  "a thread that is terminated in any step, with traffic both ways, leaves the others whole",
  TIMEOUT,
  async () => {
    expect(await saidBy("survivesTerminated")).toEqual([`${ROUNDS} 1`, "names are free"]);
  },
);

it("at last nothing holds a thread that has nothing to wait for", TIMEOUT, async () => {
  expect(await saidBy("holdsNoThread")).toEqual(["0"]);
});
