/** Simulations of the built package, in processes of their own: what is the same in each, and how they end. */
import { expect, it } from "vitest";
import { run } from "../process/child.js";

const STORY = `
  import { CloneClient, CloneServer } from "shoal/clone";
  import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
  import { Publisher, Subscriber, curveKeyPair } from "shoal";
  import { simulate } from "shoal/testing";
  const { digest, events, trace } = await simulate({ seed: 5, network: { latency: [1, 20], loss: 0.02 } }, async (world) => {
    const [a, b, c] = ["a", "b", "c"].map((name) => world.node(name));
    const server = curveKeyPair();
    const serve = async () => {
      await new MajordomoBroker().bind("tcp://*:1");
      await new CloneServer().bind("tcp://*:2000");
      const publisher = new Publisher({ curveServer: true, curveSecretKey: server.secretKey });
      await publisher.bind("tcp://*:3");
      for (;;) {
        await publisher.send(String(Math.random()));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    a.start(serve);
    c.start(() => void new MajordomoWorker("tcp://a:1", "echo", async ([x]) => x));
    b.start(async () => {
      const own = curveKeyPair();
      const subscriber = new Subscriber({
        curveServerKey: server.publicKey, curveSecretKey: own.secretKey, curvePublicKey: own.publicKey,
      });
      subscriber.subscribe();
      subscriber.connect("tcp://a:3");
      void (async () => { for await (const _ of subscriber); })();
      const client = new MajordomoClient("tcp://a:1");
      const clone = new CloneClient("tcp://a:2000");
      for (let i = 0; ; i++) {
        await client.request("echo", "x").catch(() => undefined);
        await clone.set("key", String(i)).catch(() => undefined);
      }
    });
    for (const fault of ["crash", "kill", "crash"]) {
      await world.advance(world.random.integer(500, 2_000));
      a[fault]();
      await world.advance(world.random.integer(500, 2_000));
      a.start(serve);
    }
  });
  console.log(digest, events, trace);
`;

it("a seed does the same in every process", async () => {
  const [first, second] = [await run(STORY), await run(STORY)];
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
