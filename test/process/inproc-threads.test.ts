/**
 * inproc between the worker threads of a process, with the built package. Names, places and queues alone are in
 * test/engine/zmtp/threads.
 */

import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { run, THREADS } from "./child.js";

/** Rounds of terminated threads: each of four programs and four moments comes in 4, each size with each of them in 12. */
const ROUNDS = LONG ? 60 : 4;
/** ms for all programs. */
const LIMIT = LONG ? 600_000 : 60_000;

const zmtp = { env: { SHOAL_ENGINE: "zmtp" } };

/** Programs by the names of their tests. They run one after the other in one process, and the last one leaves sockets open. */
const programs = new Map<string, string>();
let outputs: Promise<Map<string, string[]>> | undefined;

async function runAll(): Promise<Map<string, string[]>> {
  const bodies = Array.from(
    programs,
    ([name, source]) => `console.log(${JSON.stringify(`== ${name}`)});\nawait (async () => {${source}\n})();`,
  );
  const { code, stdout, stderr } = await run(`${THREADS}${bodies.join("\n")}`, { ...zmtp, limit: LIMIT });
  const found = new Map<string, string[]>();
  for (const part of stdout.split(/^== /m).slice(1)) {
    const [name = "", ...lines] = part.trimEnd().split("\n");
    found.set(name, lines);
  }
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect([...found.keys()].at(-1)).toBe([...programs.keys()].at(-1));
  return found;
}

function program(name: string, source: string, check: (output: readonly string[]) => void): void {
  programs.set(name, source);
  it(name, { timeout: LIMIT + 10_000 }, async () => {
    outputs ??= runAll();
    check((await outputs).get(name) as string[]);
  });
}

describe("inproc between threads", () => {
  for (const bound of ["worker", "main"]) {
    const [binds, connects] = [
      `await socket.bind("inproc://ask-${bound}");`,
      `socket.connect("inproc://ask-${bound}");`,
    ];
    program(
      `carries requests and replies, bound by the ${bound} thread`,
      `
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
      `,
      (output) => {
        expect(output).toEqual(["100 0"]);
      },
    );
  }

  program(
    "connects in either order of bind and connect, and again after unbind and bind",
    `
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
    `,
    (output) => {
      expect(output).toEqual(["before any bind", "to the second", "to the third", "0"]);
    },
  );

  program(
    "refuses a name that another thread has bound, and gives it when that is unbound",
    `
      const pull = new Pull();
      await pull.bind("inproc://mine");
      const worker = work(\`
        const pull = new Pull();
        const late = pull.bind("inproc://mine");
        const until = Date.now() + 200;
        while (Date.now() < until);
        await late.catch(({ code }) => parentPort.postMessage(code + " after blocking the thread"));
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
      await next();
      await pull.bind("inproc://theirs").catch(({ code }) => console.log(code));
      await pull.unbind("inproc://mine");
      worker.postMessage("again");
      await next();
      await worker.exited;
      await pull.bind("inproc://theirs");
      console.log("theirs");
      await pull.close();
    `,
    (output) => {
      expect(output).toEqual([
        "EADDRINUSE after blocking the thread",
        "EADDRINUSE Cannot bind inproc://mine: the address is in use, by another thread",
        "inproc://theirs",
        "EADDRINUSE",
        "inproc://mine",
        "theirs",
      ]);
    },
  );

  program(
    "reports the same events as within a thread, and why a peer has left",
    `
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
        await worker.exited; // Its last words come before.
      }
      console.log(router.stats().peers);
      await router.close();
    `,
    (output) => {
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
    },
  );

  program(
    "loses nothing when a sender closes, or its thread ends by itself, at once",
    `
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
    `,
    (output) => {
      expect(output).toEqual(["close", "exit", "nothing"].map((how) => `${how} 0 5000 3000000 true`));
    },
  );

  program(
    "copies a large message once: the receiver has the memory that was transferred, and it is not to be transferred on",
    `
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
    `,
    (output) => {
      expect(output).toEqual(["8000000 false 17 true", "8000000", "done"]);
    },
  );
});

describe("a thread that is terminated", () => {
  program(
    "in any step, with traffic both ways, leaves the others whole",
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
    (output) => {
      expect(output).toEqual([`${ROUNDS} 1`, "names are free"]);
    },
  );
});

describe("at last", () => {
  program(
    "holds no thread that has nothing to wait for",
    `
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
    `,
    (output) => {
      expect(output).toEqual(["0"]);
    },
  );
});
