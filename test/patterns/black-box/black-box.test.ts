/** Black Boxes with real sockets and threads, each in a process of its own: what it does is a function of black-box-program.js. */
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import { Child } from "../../process/child.js";
import { LONG } from "../../support/long.js";

/** ms until a program is ended; far more than it needs, for a busy machine. */
const LIMIT = 35_000;

/** Runs a program to its end; it says "good" when it found what it looked for. */
async function runGood(option: string, file: string, ...args: string[]): Promise<void> {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const child = new Child(process.execPath, [option, program, ...args], { limit: LIMIT });
  expect(await child.outcome).toEqual({ code: 0, signal: null, stdout: "good\n", stderr: "" });
}

const goodOn =
  (engine: string) =>
  (...story: string[]): Promise<void> =>
    runGood("--unhandled-rejections=strict", "black-box-program.js", engine, ...story);

/** Most is above the engine: one of them is enough, and the long form has all. */
const ENGINES = ENGINE_NAMES.slice(0, LONG ? undefined : 1);

// Each test has a process of its own, which waits most of the time: several at once.
describe.concurrent.each(ENGINES)("a Black Box, engine %s", (engine) => {
  const good = goodOn(engine);

  it("keeps the order of each topic, one shard a topic, and loses nothing with wait", () =>
    good("keepsOrder"));

  it("with wait holds the publisher back, and everything arrives", () => good("holdsPublisherBack"));

  it("is refused what it cannot have, and nothing is left behind", () => good("isRefused"));
});

describe.concurrent.each(ENGINES)("the threads of a Black Box, engine %s", (engine) => {
  const good = goodOn(engine);

  it("reaches a publisher over inproc, and is reached there", () => good("goesOverInproc"));

  it("reports handlers that throw and that reject, and goes on", () => good("reportsFailures"));

  it("closes when a thread crashes: what it had is lost, what waits is dropped, and a program hears of it", () =>
    good("closesWhenThreadCrashes"));

  it.each(["-1", "60000"])("ends a close with linger %s when a thread crashes meanwhile", (linger) =>
    good("endsClose", linger));

  it("ignores messages that the module posts, before it is loaded and after", () => good("ignoresPosts"));

  it("warns of a crash that nobody listens to", () => good("warnsOfCrash"));

  it("drains when it is closed, with the module's own beginning before and teardown after", () =>
    good("drainsWhenClosed"));

  it.runIf(LONG)("drains without closing: reads nothing more, and everything that was read is handled", () =>
    good("drains"),
  );

  it("closes in time when a handler never ends, and says what that cost", () => good("closesInTime"));
});

it("a Black Box runs in a process with options of V8", () =>
  runGood("--max-old-space-size=500", "limited-program.js"));
