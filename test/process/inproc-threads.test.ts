/**
 * inproc between the worker threads of a process, with the built package. Names, places and queues alone are in
 * test/engine/zmtp/inproc-*.test.ts; here the long form has more of them.
 */

import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { run } from "./child.js";

/** Workers import the package by its absolute address, since evaluated workers resolve from nowhere. */
const PRELUDE = `
import { Worker } from "node:worker_threads";
import { on, once } from "node:events";
import * as all from "shoal";
const { Pair, Pull, Push, Reply, Request, Router, Dealer, Publisher, Subscriber } = all;
const shoal = import.meta.resolve("shoal");
// From the beginning: the last messages of a thread and its end may come in one turn.
const exitOf = (worker) => {
  const exited = once(worker, "exit");
  exited.catch(() => undefined); // Who awaits it gets the error.
  return exited;
};
const work = (source, workerData) => {
  const worker = new Worker(
    new URL("data:text/javascript," + encodeURIComponent(
      'import { parentPort, workerData } from "node:worker_threads";\\n' +
      'const { Pair, Pull, Push, Reply, Request, Router, Dealer, Publisher, Subscriber } = await import(' + JSON.stringify(shoal) + ');\\n' + source)),
    { workerData });
  worker.exited = exitOf(worker);
  return worker;
};
const said = async (worker) => (await once(worker, "message"))[0];
`;

/** Rounds of terminated threads: each of four programs and four moments comes in 4, each size with each of them in 12. */
const ROUNDS = LONG ? 60 : 4;

const zmtp = { env: { SHOAL_ENGINE: "zmtp" } };

async function outputOf(source: string, limit = 15_000): Promise<string[]> {
  const { code, stdout, stderr } = await run(`${PRELUDE}${source}`, { ...zmtp, limit });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.trimEnd().split("\n");
}

describe("inproc between threads", () => {
  for (const bound of ["worker", "main"]) {
    it.runIf(LONG || bound === "worker")(
      `carries requests and replies, bound by the ${bound} thread`,
      async () => {
        const [binds, connects] = ['await socket.bind("inproc://ask");', 'socket.connect("inproc://ask");'];
        const output = await outputOf(`
        const socket = new Request();
        ${bound === "main" ? binds : connects}
        const worker = work(\`
          const socket = new Reply();
          ${bound === "main" ? connects : binds}
          for (let i = 0; i < 100; i++) await socket.send(["echo", ...await socket.receive()]);
          await socket.close();
        \`);
        let good = 0;
        for (let i = 0; i < 100; i++) {
          await socket.send("m" + i);
          if (String(await socket.receive()) === "echo,m" + i) good++;
        }
        const [code] = await worker.exited;
        await socket.close();
        console.log(good, code);
      `);
        expect(output).toEqual(["100 0"]);
      },
    );
  }

  it("connects in either order of bind and connect, and again after unbind and bind", async () => {
    const output = await outputOf(`
      const push = new Push();
      push.connect("inproc://later");
      await push.send("before any bind");
      const source = \`
        const pull = new Pull();
        await pull.bind("inproc://later");
        for await (const [frame] of pull) {
          parentPort.postMessage(String(frame));
          break;
        }
        await pull.close();
      \`;
      // The end of a link may come after the thread's: nobody who waits for an event holds the process until then.
      const held = setInterval(() => undefined, 1_000);
      for (const next of ["to the second", "to the third", undefined]) {
        const left = new Promise((resolve) => push.events.once("peer:leave", resolve));
        const worker = work(source);
        console.log(await said(worker));
        await worker.exited;
        await left; // What is sent before goes to the one that is gone.
        if (next !== undefined) await push.send(next);
      }
      clearInterval(held);
      console.log((await push.close()).discarded);
    `);
    expect(output).toEqual(["before any bind", "to the second", "to the third", "0"]);
  });

  it.runIf(LONG)("does not stop the thread that binds while another one does not answer", async () => {
    const output = await outputOf(`
      const memory = new Int32Array(new SharedArrayBuffer(4));
      const [one, two] = [new Pull(), new Pull()];
      await one.bind("inproc://first");
      const worker = work(\`
        const pull = new Pull();
        await pull.bind("inproc://theirs");
        parentPort.postMessage("bound");
        Atomics.wait(workerData, 0, 0);
        await pull.close();
      \`, memory);
      await once(worker, "message");
      let turns = 0;
      const turn = () => { turns += 1; if (turns < 10_000) setImmediate(turn); };
      setImmediate(turn);
      const bound = one.bind("inproc://ours");
      // The one is about to be bound; the other is closed before it is.
      const second = two.bind("inproc://ours").catch(({ code }) => code);
      const late = two.bind("inproc://late").catch(({ code }) => code);
      await two.close();
      console.log(await second, await bound, turns > 10);
      console.log(await late);
      await one.bind("inproc://late");
      Atomics.store(memory, 0, 1);
      Atomics.notify(memory, 0);
      await worker.exited;
      await one.close();
    `);
    expect(output).toEqual(["EADDRINUSE inproc://ours true", "EADDRNOTAVAIL"]);
  });

  it("refuses a name that another thread has bound, and gives it when that is unbound", async () => {
    const output = await outputOf(`
      const pull = new Pull();
      await pull.bind("inproc://mine");
      const worker = work(\`
        const pull = new Pull();
        const attempt = async (name) => parentPort.postMessage(await pull.bind(name).catch(({ code, message }) => code + " " + message));
        await attempt("inproc://mine");
        await attempt("inproc://theirs");
        parentPort.once("message", async () => {
          await attempt("inproc://mine");
          await pull.close();
        });
      \`);
      const words = on(worker, "message");
      const next = async () => console.log((await words.next()).value[0]);
      await next();
      await next();
      try { pull.bindSync("inproc://theirs"); } catch ({ code }) { console.log(code); }
      await pull.unbind("inproc://mine");
      worker.postMessage("again");
      await next();
      await worker.exited;
      await pull.bind("inproc://theirs");
      console.log("theirs");
      await pull.close();
    `);
    expect(output).toEqual([
      "EADDRINUSE Cannot bind inproc://mine: the address is in use, by another thread",
      "inproc://theirs",
      "EADDRINUSE",
      "inproc://mine",
      "theirs",
    ]);
  });

  it("reports the same events as within a thread, and why a peer has left", async () => {
    const output = await outputOf(`
      const router = new Router();
      await router.bind("inproc://events");
      router.events.on("peer:join", ({ address, routingId }) => console.log("join", address, String(routingId)));
      router.events.on("peer:leave", ({ reason, routingId }) => console.log("leave", reason, String(routingId)));
      const source = \`
        const dealer = new Dealer({ routingId: workerData });
        dealer.connect("inproc://events");
        for (const type of ["connect", "handshake", "peer:join", "disconnect"]) dealer.events.on(type, ({ address, reason }) => parentPort.postMessage([type, address, reason].join(" ")));
        await dealer.send("hello");
        await dealer.receive();
        if (workerData === "closes") await dealer.close();
        else setInterval(() => undefined, 1000);
      \`;
      for (const name of ["closes", "dies"]) {
        const worker = work(source, name);
        worker.on("message", (text) => console.log(name, text));
        const [id, frame] = await router.receive();
        const left = new Promise((resolve) => router.events.on("peer:leave", resolve));
        await router.send([id, "answer"]);
        if (name === "dies") await worker.terminate();
        await left;
      }
      console.log(router.stats().peers);
      await router.close();
    `);
    // A worker's words come when they come.
    const words = output.filter((line) => /^(closes|dies) (?!disconnect)/.test(line));
    expect(words).toEqual(
      ["closes", "dies"].flatMap((name) =>
        ["handshake", "peer:join"].map((type) => `${name} ${type} inproc://events `),
      ),
    );
    expect(output.filter((line) => !/^(closes|dies)/.test(line))).toEqual([
      "join inproc://events closes",
      "leave remote closes",
      "join inproc://events dies",
      "leave remote dies",
      "0",
    ]);
  });

  it.runIf(LONG)("has one queue of both high-water marks, in messages and in bytes", async () => {
    const output = await outputOf(`
      const worker = work(\`
        const pull = new Pull({ receiveHighWaterMark: 3, receiveHighWaterMarkBytes: 10_000 });
        await pull.bind("inproc://marks");
        parentPort.postMessage("bound");
        for await (const many of (await import("node:events")).on(parentPort, "message")) {
          if (many[0] === 0) break;
          for (let i = 0; i < many[0]; i++) await pull.receive();
          parentPort.postMessage("taken");
        }
        await pull.close();
      \`);
      await said(worker);
      const fill = async (push, body) => {
        let count = 0;
        while (push.trySend(body)) count++;
        return count;
      };
      for (const [options, body] of [
        [{ sendHighWaterMark: 5 }, "small"],
        [{ sendHighWaterMark: 500, sendHighWaterMarkBytes: 20_000 }, Buffer.alloc(1_000)],
      ]) {
        const push = new Push(options);
        push.connect("inproc://marks");
        await push.ready();
        const most = await fill(push, body);
        worker.postMessage(most);
        await said(worker);
        // What was taken is reported by halves, each in a turn of its own.
        let again = 0;
        for (; again < most / 2; again++) await push.send(body);
        again += await fill(push, body);
        // Of bytes each side takes the message that goes past its mark.
        console.log(most, again <= most + (options.sendHighWaterMarkBytes === undefined ? 0 : 1));
        worker.postMessage(again);
        await said(worker);
        await push.close();
      }
      worker.postMessage(0);
      await worker.exited;
    `);
    // The second: 30,000 bytes, of which a message counts 1,073.
    expect(output).toEqual(["8 true", "28 true"]);
  });

  it("loses nothing when a sender closes, or its thread ends by itself, at once", async () => {
    const output = await outputOf(`
      const pull = new Pull({ receiveHighWaterMark: 0 });
      await pull.bind("inproc://last");
      const ends = { close: "await push.close();", exit: "await push.ready(); process.exit(0);", nothing: "" };
      for (const [how, end] of Object.entries(ends)) {
        const worker = work(\`
          const push = new Push({ sendHighWaterMark: 0 });
          push.connect("inproc://last");
          for (let i = 0; i < 5_000; i++) push.trySend("m" + i);
          push.trySend(Buffer.alloc(3_000_000, 7));
        \` + end);
        const [code] = await worker.exited;
        let good = 0;
        for (let i = 0; i < 5_000; i++) if (String(await pull.receive({ timeout: 5000 })) === "m" + i) good++;
        const [large] = await pull.receive({ timeout: 5000 });
        console.log(how, code, good, large.length, large.every((byte) => byte === 7));
      }
      await pull.close();
    `);
    expect(output).toEqual([
      "close 0 5000 3000000 true",
      "exit 0 5000 3000000 true",
      "nothing 0 5000 3000000 true",
    ]);
  });

  it("copies a large message once: the receiver has the memory that was transferred, and it is not to be transferred on", async () => {
    const output = await outputOf(`
      const pair = new Pair();
      await pair.bind("inproc://large");
      const worker = work(\`
        const pair = new Pair();
        pair.connect("inproc://large");
        const body = Buffer.alloc(8_000_000, "x");
        await pair.send(body);
        await pair.send("done");
        await pair.close();
      \`);
      const exited = worker.exited;
      const [frame] = await pair.receive();
      console.log(frame.length, frame.includes("y"), frame.buffer.byteLength - frame.length, frame.buffer instanceof ArrayBuffer);
      const { port1 } = new MessageChannel();
      try { port1.postMessage(frame, [frame.buffer]); } catch { }
      console.log(frame.length);
      port1.close();
      console.log(String(await pair.receive()));
      await pair.close();
      await exited;
    `);
    expect(output).toEqual(["8000000 false 17 true", "8000000", "done"]);
  });

  it.runIf(LONG)("gives each subscriber what it subscribed to, as a copy of its own", async () => {
    const output = await outputOf(`
      const publisher = new Publisher();
      await publisher.bind("inproc://topics");
      const workers = ["a", "b", ""].map((topic) => work(\`
        const subscriber = new Subscriber();
        subscriber.subscribe(workerData);
        subscriber.connect("inproc://topics");
        const got = [];
        for await (const [topic] of subscriber) {
          if (String(topic).endsWith("end")) break;
          got.push(String(topic));
          topic.fill(0);
        }
        parentPort.postMessage(workerData + ":" + got);
        await subscriber.close();
      \`, topic));
      await publisher.waitForSubscribers({ topic: "a", count: 2 });
      await publisher.waitForSubscribers({ topic: "b", count: 2 });
      const answers = Promise.all(workers.map(said));
      for (const topic of ["a1", "b1", "c1", "a-end", "b-end"]) await publisher.send(topic);
      console.log((await answers).join(" "));
      await publisher.close();
    `);
    expect(output[0]).toMatch(/^a:a1 b:b1 :a1,b1,c1$/);
  });

  it("holds no thread that has nothing to wait for", async () => {
    const output = await outputOf(`
      const pull = new Pull();
      await pull.bind("inproc://idle");
      const worker = work(\`
        const push = new Push();
        push.connect("inproc://idle");
        await push.send("x");
        const other = new Push({ linger: 0 });
        other.connect("inproc://nobody-has-this");
      \`);
      await pull.receive();
      const [code] = await worker.exited;
      await pull.unbind("inproc://idle");
      const push = new Push();
      push.connect("inproc://nobody");
      console.log(code);
      // The process ends by itself, though neither socket is closed.
    `);
    expect(output).toEqual(["0"]);
  });

  it.runIf(LONG)(
    "leaves nothing behind of peers that came and went",
    async () => {
      const output = await outputOf(
        `
      import { setFlagsFromString } from "node:v8";
      import { runInNewContext } from "node:vm";
      setFlagsFromString("--expose-gc");
      const collect = runInNewContext("gc");
      const router = new Router();
      await router.bind("inproc://churn");
      const worker = work(\`
        parentPort.on("message", async (cycles) => {
          for (let i = 0; i < cycles; i++) {
            const dealer = new Dealer();
            dealer.connect("inproc://churn");
            await dealer.send("hello");
            await dealer.receive();
            await dealer.close();
          }
          parentPort.postMessage("done");
        });
      \`);
      (async () => { for await (const message of router) await router.send(message).catch(() => undefined); })().catch(() => undefined);
      const measure = async (cycles) => {
        const done = said(worker);
        worker.postMessage(cycles);
        await done;
        for (let i = 0; i < 5; i++) { await new Promise(setImmediate); collect(); }
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        return heapUsed + arrayBuffers;
      };
      // Code and its feedback grow by half a megabyte with the first thousand, in steps later on: what connections leave
      // behind is there after each round, and the least growth of several has no such step in it.
      const levels = [await measure(1_000)];
      for (let round = 0; round < 2; round++) levels.push(await measure(1_000));
      const growths = levels.slice(1).map((level, round) => (level - levels[round]) / 1_000);
      console.log(Math.min(...growths) < 500 ? "nothing" : growths.join(" "));
      await worker.terminate();
      await router.close();
    `,
        40_000,
      );
      expect(output).toEqual(["nothing"]);
    },
    60_000,
  );

  it.runIf(LONG)("keeps names apart of contexts that are the program's own", async () => {
    const output = await outputOf(`
      const pull = new Pull({ context: new all.Context() });
      await pull.bind("inproc://own");
      const worker = work(\`
        const pull = new Pull();
        await pull.bind("inproc://own");
        parentPort.postMessage("bound");
        await pull.close();
      \`);
      console.log(await said(worker));
      await pull.close();
    `);
    expect(output).toEqual(["bound"]);
  });
});

describe("a thread that is terminated", () => {
  it("and was bound leaves its name to the next that binds, which gets what waits", async () => {
    const output = await outputOf(`
      const push = new Push();
      push.connect("inproc://served");
      const source = \`
        const pull = new Pull();
        await pull.bind("inproc://served");
        for await (const [frame] of pull) parentPort.postMessage(String(frame));
      \`;
      const held = setInterval(() => undefined, 1_000); // As above.
      for (let round = 0; round < 2; round++) {
        const worker = work(source);
        await push.send("for " + round);
        console.log(await said(worker));
        const gone = new Promise((resolve) => push.events.on("peer:leave", resolve));
        await worker.terminate();
        console.log((await gone).reason, push.stats().peers);
      }
      clearInterval(held);
      await push.close({ linger: 0 });
    `);
    expect(output).toEqual([0, 1].flatMap((round) => [`for ${round}`, "remote 0"]));
  });

  it("in any step, with traffic both ways, leaves the others whole", async () => {
    const output = await outputOf(
      `
      const router = new Router({ linger: 0 });
      await router.bind("inproc://hub");
      let rounds = 0;
      const dealer = new Dealer({ linger: 0 });
      const echo = (async () => {
        for await (const [id, ...body] of router) {
          // The peer may have gone meanwhile.
          await router.send([id, ...body]).catch(() => undefined);
        }
      })();
      dealer.connect("inproc://hub");
      const sources = [
        \`const dealer = new Dealer(); dealer.connect("inproc://hub");
          for (;;) { await dealer.send(Buffer.alloc(workerData)); await dealer.receive(); }\`,
        \`const dealers = Array.from({ length: 20 }, () => new Dealer());
          for (const dealer of dealers) { dealer.connect("inproc://hub"); void dealer.send(Buffer.alloc(workerData)); }
          setInterval(() => undefined, 1000);\`,
        \`const pull = new Pull(); pull.bindSync("inproc://bound-and-gone"); setInterval(() => undefined, 1000);\`,
        \`const push = new Push(); push.connect("inproc://bound-and-gone"); push.connect("inproc://hub");
          for (;;) await push.send(Buffer.alloc(workerData));\`,
      ];
      for (let round = 0; round < ${ROUNDS}; round++) {
        const workers = [0, 1].map((n) => work(sources[(round * 2 + n) % sources.length], [0, 64, 100_000][round % 3]));
        // From before the first line runs to the middle of the traffic.
        if (round % 4 > 0) await Promise.all(workers.map((worker) => once(worker, "online")));
        if (round % 4 > 1) await new Promise((resolve) => setTimeout(resolve, (round * 7) % 40 + 20));
        await Promise.all(workers.map((worker) => worker.terminate()));
        await dealer.send(String(round));
        if (String(await dealer.receive({ timeout: 5000 })) === String(round)) rounds++;
      }
      while (router.stats().peers > 1) await new Promise((resolve) => setTimeout(resolve, 5));
      console.log(rounds, router.stats().peers);
      await dealer.close();
      await router.close();
      await echo;
      const last = new Pull();
      await last.bind("inproc://bound-and-gone");
      await last.bind("inproc://hub");
      console.log("names are free");
      await last.close();
    `,
      40_000,
    );
    expect(output).toEqual([`${ROUNDS} 1`, "names are free"]);
  }, 60_000);
});
