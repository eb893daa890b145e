/** When an open socket keeps its process alive, and when it lets it go. */
import { describe, expect, it, type TestContext } from "vitest";
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { LONG } from "../support/long.js";
import { type Child, run, start } from "./child.js";

const SOCKETS = `import {
  Dealer, Pair, Publisher, Pull, Push, Reply, Request, Router, Stream, Subscriber, XPublisher, XSubscriber,
} from "shoal";
`;
/** Says so when the loop has turned for longer than the engine's own slices and ticks. */
const STILL_HERE = `setTimeout(() => console.log("still here"), 1_500).unref();`;

/** The long form has the other engine, too, and a process for each way to end. */
describe.each(ENGINE_NAMES.slice(0, LONG ? undefined : 1))("engine %s", (engine) => {
  // A call that waits for a peer warns after a while, which is no fault here.
  const env = { SHOAL_ENGINE: engine, NODE_NO_WARNINGS: "1" };
  const ended = (source: string, ...args: string[]) => run(SOCKETS + source, { env, args });
  const program = ({ onTestFinished }: TestContext, source: string): Child => {
    const child = start(SOCKETS + source, { env });
    onTestFinished(async () => {
      if (child.running) await child.kill();
    });
    return child;
  };

  describe("a process lives on while", () => {
    const cases = {
      "a socket is bound": `const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*");`,
      "a socket is bound with bindSync": `const rep = new Reply(); rep.bindSync("tcp://127.0.0.1:*");`,
      "a receive waits on a connected socket": `
      const dealer = new Dealer(); dealer.connect("tcp://127.0.0.1:1"); dealer.receive();`,
      "a loop over a connected socket waits": `
      const sub = new Subscriber(); sub.connect("tcp://127.0.0.1:1"); sub.subscribe();
      (async () => { for await (const _ of sub); })();`,
      "a send waits for room": `
      const push = new Push({ sendHighWaterMark: 1 }); push.connect("tcp://127.0.0.1:1");
      for (let i = 0; i < 3; i++) push.send("full").catch(() => undefined);`,
      "a send on a socket without peers waits": `const push = new Push(); push.send("nobody");`,
      "an event listener is attached": `
      const dealer = new Dealer(); dealer.events.on("handshake", () => undefined); dealer.connect("tcp://127.0.0.1:1");`,
      "somebody waits for the next event": `
      const dealer = new Dealer(); dealer.connect("tcp://127.0.0.1:1");
      (async () => { for await (const _ of dealer.events); })();`,
      "somebody waits for subscribers": `
      const pub = new Publisher(); pub.connect("tcp://127.0.0.1:1"); pub.waitForSubscribers();`,
      "somebody waits until the socket is ready": `
      const dealer = new Dealer(); dealer.connect("tcp://127.0.0.1:1"); dealer.ready();`,
    };
    // The long form has all of them, the default run every other.
    for (const [name, source] of Object.entries(cases).filter((_, at) => LONG || at % 2 === 0)) {
      it.concurrent(name, async (test) => {
        const child = program(test, `${source}\n${STILL_HERE}`);
        await child.heard("still here");
        expect(child.running).toBe(true);
        expect((await child.kill()).stderr).toBe("");
      });
    }
  });

  describe("a process ends by itself when", () => {
    const cases = {
      "its sockets are idle and only connected": `
      for (const socket of [new Dealer(), new Pair(), new Publisher(), new Pull(), new Push(), new Reply(),
        new Request(), new Router(), new Subscriber(), new XPublisher(), new XSubscriber(), new Stream()])
        socket.connect("tcp://127.0.0.1:1");`,
      "its sockets were never used": `new Dealer(); new Router(); new Stream();`,
      "its bound sockets are unreferenced": `
      const pub = new Publisher(); await pub.unref().bind("tcp://127.0.0.1:*");
      const rep = new Reply(); await rep.bind("tcp://127.0.0.1:*"); rep.ref().unref();`,
      "the waiting receive is aborted": `
      const dealer = new Dealer(); dealer.connect("tcp://127.0.0.1:1");
      const stop = new AbortController();
      setTimeout(() => stop.abort(), 50);
      await dealer.receive({ signal: stop.signal }).catch((error) => console.log(error.code));`,
      "the waiting receive times out": `
      const dealer = new Dealer({ receiveTimeout: 50 }); dealer.connect("tcp://127.0.0.1:1");
      await dealer.receive().catch((error) => console.log(error.code));`,
      "the waiting send times out": `
      const push = new Push({ sendTimeout: 50 });
      await push.send("nobody").catch((error) => console.log(error.code));`,
      "the last event listener is removed": `
      const dealer = new Dealer(); const hear = () => undefined;
      dealer.events.on("handshake", hear); dealer.connect("tcp://127.0.0.1:1");
      setTimeout(() => dealer.events.off("handshake", hear), 50);`,
      "the socket is unbound": `
      const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*"); await pull.unbind(pull.lastEndpoint);`,
      "the bound socket is closed": `
      const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*"); await pull.close();`,
      "the bound socket is closed under its waiting calls": `
      const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*");
      pull.receive().catch((error) => console.log(error.code));
      (async () => { for await (const _ of pull.events); console.log("events ended"); })();
      setTimeout(() => pull.close(), 50);`,
      "two connected sockets have finished their work": `
      const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*");
      const push = new Push(); push.connect(pull.lastEndpoint);
      await push.send("work"); console.log(String(await pull.receive()));
      await pull.close();`,
      "sockets with all the time in the world are closed, and have sent everything": `
      const pull = new Pull({ linger: 600_000 }); await pull.bind("tcp://127.0.0.1:*");
      const push = new Push({ linger: 600_000 }); push.connect(pull.lastEndpoint);
      await push.send("work"); console.log(String(await pull.receive()));
      await push.close(); await pull.close();`,
      "messages wait for an absent peer, and linger is 0": `
      const push = new Push({ linger: 0 }); push.connect("tcp://127.0.0.1:1");
      for (let i = 0; i < 100; i++) await push.send("lost");`,
      "an authenticated server is closed": `
      const rep = new Reply({ plainServer: true, authenticate: () => true }); await rep.bind("tcp://127.0.0.1:*");
      const req = new Request({ plainUsername: "u", plainPassword: "p" }); req.connect(rep.lastEndpoint);
      req.send("q"); console.log(String(await rep.receive())); await rep.send("a"); await req.receive();
      await rep.close();`,
    };
    const all = Object.values(cases).map((source) => `(async () => {${source}\n})();`);
    const programs = LONG ? cases : { "all of its sockets are done": all.join("\n") };
    for (const [name, source] of Object.entries(programs)) {
      it.concurrent(name, async () => {
        const outcome = await ended(source);
        expect(outcome).toMatchObject({ code: 0, signal: null, stderr: "" });
      });
    }
  });

  describe("at its end a process", () => {
    const SINK = `
    const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*");
    console.log(pull.lastEndpoint);
    let count = 0;
    for await (const [frame] of pull) if (frame.length === 0) break; else count++;
    console.log(count);
    await pull.close();`;

    it.concurrent("delivers what was accepted, without a close", async (test) => {
      const sink = program(test, SINK);
      const source = await ended(
        `const push = new Push({ sendHighWaterMark: 0 }); push.connect(process.argv[1]);
       for (let i = 0; i < 5_000; i++) push.send("x".repeat(1_000));
       push.send("");`,
        await sink.line(),
      );
      expect(source).toMatchObject({ code: 0, stderr: "" });
      expect(await sink.line()).toBe("5000");
    });

    it.concurrent("delivers what was accepted before process.exit", async (test) => {
      const sink = program(test, SINK);
      const source = await ended(
        `const push = new Push({ sendHighWaterMark: 0 }); push.connect(process.argv[1]);
       await push.ready(); // Nothing can wait in process.exit: the kernel gets what it takes at once.
       for (let i = 0; i < 50; i++) await push.send("x".repeat(1_000));
       await push.send("");
       process.exit(7);`,
        await sink.line(),
      );
      expect(source).toMatchObject({ code: 7, stderr: "" });
      expect(await sink.line()).toBe("50");
    });

    it.concurrent("delivers sends that nobody awaited before close, to a slow peer that reads", async (test) => {
      const sink = program(
        test,
        `const pull = new Pull({ receiveHighWaterMark: 10 }); await pull.bind("tcp://127.0.0.1:*");
        console.log(pull.lastEndpoint);
        let count = 0;
        for await (const [frame] of pull) {
          if (frame.length === 0) break;
          if (++count % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        }
        console.log(count);
        await pull.close();`,
      );
      const source = await ended(
        `const push = new Push({ sendHighWaterMark: 10 }); push.connect(process.argv[1]);
       for (let i = 0; i < 1_000; i++) push.send("x".repeat(10_000));
       push.send("");
       console.log(push.stats().pendingSends > 0);
       console.log(JSON.stringify(await push.close()));`,
        await sink.line(),
      );
      const stdout = 'true\n{"flushed":1001,"discarded":0,"unknown":0}\n';
      expect(source).toEqual({ code: 0, signal: null, stdout, stderr: "" });
      expect(await sink.line()).toBe("1000");
    });

    it.concurrent("is not ended by what close rejects, if nobody looks at it", async () => {
      const outcome = await ended(
        `const push = new Push({ sendHighWaterMark: 1 }); push.connect("tcp://127.0.0.1:1");
       for (let i = 0; i < 5; i++) push.send("nobody");
       push.ready();
       push.events.receive(); push.events.receive();
       const request = new Request(); request.connect("tcp://127.0.0.1:1");
       request.request("nobody"); request.request("nobody");
       const pull = new Pull(); pull.connect("tcp://127.0.0.1:1");
       pull.receive(); pull.receiveMany();
       const bound = new Pull(); bound.bind("tcp://127.0.0.1:*");
       const pub = new Publisher(); pub.connect("tcp://127.0.0.1:1"); pub.waitForSubscribers();
       const awaited = push.send("somebody").catch((error) => console.log(error.code));
       await Promise.all([push, request, pull, bound, pub].map((socket) => socket.close({ linger: 20 })));
       await awaited;`,
      );
      expect(outcome).toEqual({ code: 0, signal: null, stdout: "EAGAIN\n", stderr: "" });
    });
  });

  describe("a signal during traffic", () => {
    const FLOOD = `
    const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*");
    const push = new Push({ linger: 0 }); push.connect(pull.lastEndpoint);
    let count = 0;
    (async () => { for await (const _ of pull) if (++count === 10_000) console.log("flowing"); })();
    let stop = false;
    (async () => { while (!stop) await push.send("x".repeat(100)).catch(() => undefined); })();
  `;

    it.runIf(LONG).concurrent("ends a process that has no handler for it", async (test) => {
      const child = program(test, FLOOD);
      await child.heard("flowing");
      expect(await child.kill("SIGTERM")).toMatchObject({ signal: "SIGTERM", stderr: "" });
    });

    it.concurrent("lets a handler close the sockets and end the process cleanly", async (test) => {
      const child = program(
        test,
        `${FLOOD}
      process.on("SIGTERM", async () => { stop = true; await Promise.all([push.close(), pull.close()]); console.log("closed"); });`,
      );
      await child.heard("flowing");
      const stdout = expect.stringMatching(/closed\n$/);
      expect(await child.kill("SIGTERM")).toEqual({ code: 0, signal: null, stdout, stderr: "" });
    });
  });
});
