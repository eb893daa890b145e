/** When an open socket keeps its process alive, when it lets it go, and of what it warns at its end: the programs are in life-program.js, by these names. */
import { fileURLToPath, pathToFileURL } from "node:url";
import { describe, expect, it, type TestContext } from "vitest";
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { LONG } from "../support/long.js";
import { Child, type Outcome, run } from "./child.js";

const PROGRAM = fileURLToPath(new URL("life-program.js", import.meta.url));

/** The names of programs that live on, and of those that end. */
const { LIVING, ENDING } = (await import(pathToFileURL(PROGRAM).href)) as { LIVING: object; ENDING: object };

/** Ways to end without a close: a socket of the engine libzmq with an endpoint keeps its process alive. */
const WITHOUT_CLOSE =
  /^(its sockets are idle|its bound|the waiting receive|the last event|the socket is unbound|two connected|messages wait)/;

/** The long form has the other engine, too, and a process for each way to end. */
describe.each(ENGINE_NAMES.slice(0, LONG ? undefined : 1))("engine %s", (engine) => {
  // A call that waits for a peer warns after a while, which is no fault here.
  const env = { SHOAL_ENGINE: engine, NODE_NO_WARNINGS: "1" };
  const start = (...args: string[]): Child =>
    new Child(process.execPath, ["--unhandled-rejections=strict", PROGRAM, ...args], { env });
  const ended = (...args: string[]): Promise<Outcome> => start(...args).outcome;
  const program = ({ onTestFinished }: TestContext, name: string): Child => {
    const child = start(name);
    onTestFinished(async () => {
      if (child.running) await child.kill();
    });
    return child;
  };

  describe("a process lives on while", () => {
    // The long form has all of them, the default run every other.
    for (const name of Object.keys(LIVING).filter((_, at) => LONG || at % 2 === 0)) {
      it.concurrent(name, async (test) => {
        const child = program(test, name);
        await child.heard("still here");
        expect(child.running).toBe(true);
        expect((await child.kill()).stderr).toBe("");
      });
    }
  });

  describe("a process ends by itself when", () => {
    const some = Object.keys(ENDING).filter(
      (name) => engine === "zmtp" || !(name.includes("authenticated") || WITHOUT_CLOSE.test(name)),
    );
    for (const name of LONG ? some : ["all of its sockets are done"]) {
      it.concurrent(name, async () => {
        expect(await ended(name)).toMatchObject({ code: 0, signal: null, stderr: "" });
      });
    }
  });

  describe("at its end a process", () => {
    it.runIf(engine === "zmtp").concurrent("delivers what was accepted, without a close", async (test) => {
      const sink = program(test, "sink");
      expect(await ended("endsWithoutClose", await sink.line())).toMatchObject({ code: 0, stderr: "" });
      expect(await sink.line()).toBe("5000");
    });

    it.concurrent("delivers what was accepted before process.exit", async (test) => {
      const sink = program(test, "sink");
      expect(await ended("exits", await sink.line())).toMatchObject({ code: 7, stderr: "" });
      expect(await sink.line()).toBe("50");
    });

    it.concurrent("delivers sends that nobody awaited before close, to a slow peer that reads", async (test) => {
      const sink = program(test, "slowSink");
      const source = await ended("closesWithSends", await sink.line());
      const stdout = 'true\n{"flushed":1001,"discarded":0,"unknown":0}\n';
      expect(source).toEqual({ code: 0, signal: null, stdout, stderr: "" });
      expect(await sink.line()).toBe("1000");
    });

    it.concurrent("is not ended by what close rejects, if nobody looks at it", async () => {
      const outcome = await ended("closesWithCalls");
      expect(outcome).toEqual({ code: 0, signal: null, stdout: "EAGAIN\n", stderr: "" });
    });
  });

  describe("a signal during traffic", () => {
    it.runIf(LONG).concurrent("ends a process that has no handler for it", async (test) => {
      const child = program(test, "flood");
      await child.heard("flowing");
      expect(await child.kill("SIGTERM")).toMatchObject({ signal: "SIGTERM", stderr: "" });
    });

    it.concurrent("lets a handler close the sockets and end the process cleanly", async (test) => {
      const child = program(test, "floodWithHandler");
      await child.heard("flowing");
      const stdout = expect.stringMatching(/closed\n$/);
      expect(await child.kill("SIGTERM")).toEqual({ code: 0, signal: null, stdout, stderr: "" });
    });
  });
});

const WAITING = String.raw`\(node:\d+\) WARNING: Waiting for queued ZeroMQ messages to be delivered\.`;

describe("a process that ends with messages for nobody", () => {
  const end = (linger: number, blocky: boolean): Promise<{ code: number | null; stderr: string }> =>
    run(
      `import { context, Dealer } from "shoal";
       context.blocky = ${blocky};
       const dealer = new Dealer({ linger: ${linger} });
       dealer.connect("tcp://127.0.0.1:9");
       await dealer.send("to nobody");`,
    );

  it("warns when it waits for longer than half a second, and says what changes that", async () => {
    const { code, stderr } = await end(800, true);
    expect(stderr).toMatch(
      new RegExp(`${WAITING} Set 'context\\.blocky = false' to change this behaviour\\.\\n`),
    );
    expect(code).toBe(0);
  });

  it("gives no advice that has been followed", async () => {
    expect((await end(800, false)).stderr).toMatch(new RegExp(`${WAITING}\\n`));
  });

  it("says nothing of a short wait", async () => {
    expect(await end(50, true)).toMatchObject({ code: 0, stderr: "" });
  });
});
