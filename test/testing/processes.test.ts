/** Simulations of the built package, in processes of their own: what is the same in each, and how they end. */
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { Child, type Outcome, run } from "../process/child.js";

it("a seed does the same in every process", async () => {
  const program = fileURLToPath(new URL("story-program.js", import.meta.url));
  const tell = (): Promise<Outcome> => new Child(process.execPath, [program]).outcome;
  const [first, second] = [await tell(), await tell()];
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(first.stdout).toMatch(/^[0-9a-f]{16} \d{3,}/);
  expect(second.stdout).toBe(first.stdout);
});

it("a process ends by itself after a simulation, whatever its sockets had not sent", async () => {
  const { code, stdout, stderr } = await run(`
    import { Push } from "shoal";
    import { simulate } from "shoal/testing";
    await simulate({}, async (world) => {
      world.node("a").start(async () => {
        const socket = new Push({ linger: -1 });
        socket.connect("tcp://b:1");
        await socket.send("never sent");
        setInterval(() => undefined, 10);
      });
      await world.advance(1_000);
    });
    console.log("over");
  `);
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "over\n", stderr: "" });
});

it("a rejection that nobody handles fails the simulation with its seed, not the process", async () => {
  const { code, stdout, stderr } = await run(
    `
    import { simulate } from "shoal/testing";
    const story = async (world) => {
      world.node("a").start(() => void setTimeout(async () => { throw new Error("unhandled") }, 100));
      await world.advance(1_000);
    };
    const results = await Promise.allSettled([
      simulate({ seed: 6, shrink: false }, story),
      simulate({ seed: 7 }, (world) => world.advance(1_000)),
    ]);
    console.log(results.map(({ status, reason }) => reason?.message.split("\\n")[0] ?? status).join());
  `,
    { node: ["--unhandled-rejections=throw"] },
  );
  expect({ code, stdout, stderr }).toEqual({ code: 0, stderr: "", stdout: "Seed 6: unhandled,fulfilled\n" });
});
