import { describe, expect, it } from "vitest";
import { LONG } from "../support/long.js";
import { run, THREADS } from "./child.js";

const ROUNDS = LONG ? 3 : 1;

describe("worker threads", () => {
  const BUSY = `
    const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*");
    const push = new Push({ linger: 0 }); push.connect(pull.lastEndpoint);
    const rep = new Reply({ authenticate: () => true }); await rep.bind("tcp://127.0.0.1:*");
    rep.receive().catch(() => undefined);
    rep.events.on("accept", () => undefined);
    const idle = Array.from({ length: 20 }, () => new Request({ linger: 0 }));
    for (const socket of idle) socket.connect("tcp://127.0.0.1:1");
    const stuck = new Push(); stuck.send("nobody").catch(() => undefined);
    let count = 0;
    (async () => { for await (const _ of pull) count++; })().catch(() => undefined);
    for (let i = 0; i < 1000; i++) await push.send("x");
    globalThis.kept = [pull, push, rep, stuck, idle];
  `;
  const ENDS = {
    "by process.exit": "process.exit(0);",
    "with an error that nobody caught": 'throw new Error("on purpose");',
    "with nothing left to do": `
      await Promise.all([pull.close(), rep.close(), stuck.close({ linger: 0 })]); rep.events.close();`,
    "by Worker.terminate, with its sockets closed": `
      await Promise.all([pull, push, rep, stuck, ...idle].map((socket) => socket.close({ linger: 0 })));
      parentPort.postMessage("terminate me"); setInterval(() => undefined, 1000);`,
  };
  for (const [how, end] of Object.entries(ENDS)) {
    it.runIf(LONG || !how.startsWith("with "))(
      `may end ${how}: the process and its other sockets go on`,
      async () => {
        const outcome = await run(`${THREADS}
        import { readdirSync } from "node:fs";
        const rep = new Reply(); await rep.bind("tcp://127.0.0.1:*");
        const req = new Request(); req.connect(rep.lastEndpoint);
        for (let round = 0; round < ${ROUNDS}; round++) {
          const worker = work(${JSON.stringify(BUSY + end)});
          worker.on("message", () => worker.terminate());
          worker.on("error", (error) => { if (error.message !== "on purpose") throw error; });
          await new Promise((resolve) => worker.once("exit", resolve));
          await req.send("still"); await rep.send(await rep.receive());
          console.log(String(await req.receive()));
        }
        await rep.close(); await req.close();
        for (let i = 0; i < 200 && readdirSync("/proc/self/fd").length > 60; i++)
          await new Promise((resolve) => setTimeout(resolve, 10));
        console.log(readdirSync("/proc/self/fd").length <= 60 ? "given back" : "leaked");
      `);
        expect(outcome).toMatchObject({ code: 0, signal: null, stderr: "" });
        expect(outcome.stdout).toBe(`${"still\n".repeat(ROUNDS)}given back\n`);
      },
    );
  }

  for (const [how, end] of [
    ["without closing it", ""],
    ["once it has closed it", "await push.close();"],
  ]) {
    it.runIf(LONG || end === "")(
      `leave the last message of an inproc socket to the reader when they end ${how}, on the engine libzmq`,
      async () => {
        const outcome = await run(
          `${THREADS}
        const pull = new Pull(); await pull.bind("inproc://last");
        const worker = work(\`
          const reply = new Reply(); await reply.bind("inproc://name"); await reply.close();
          await (globalThis.again = new Reply()).bind("inproc://name"); await again.close();
          const push = new Push(); push.connect("inproc://last");
          await push.send("last");
          ${end}
        \`);
        // Nobody reads, and nobody calls into libzmq: this thread is busy until the worker has gone.
        await once(worker, "online");
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
        const [code] = await worker.exited;
        const [frame] = await pull.receive();
        await pull.close();
        const other = new Push(); other.connect("tcp://127.0.0.1:9");
        await other.close({ linger: 0 });
        console.log(code, String(frame));
      `,
          { env: { SHOAL_ENGINE: "libzmq" } },
        );
        expect(outcome).toMatchObject({ code: 0, stdout: "0 last\n", stderr: "" });
      },
    );
  }

  it("are held by a bound inproc socket until it is closed, on the engine libzmq", async () => {
    const outcome = await run(
      `${THREADS}
      const worker = work(\`
        const reply = new Reply(); await reply.bind("inproc://held");
        parentPort.postMessage("bound");
        parentPort.once("message", async () => {
          parentPort.unref();
          void reply.close();
        });
      \`);
      await once(worker, "message");
      const request = new Request({ linger: 0 }); request.connect("inproc://held");
      let gone = false;
      const exit = worker.exited.then(() => { gone = true; });
      for (let i = 0; i < 50; i++) await new Promise(setImmediate);
      const before = gone;
      worker.postMessage("close");
      await exit;
      await request.close();
      console.log(before, gone);
    `,
      { env: { SHOAL_ENGINE: "libzmq" } },
    );
    expect(outcome).toMatchObject({ code: 0, stdout: "false true\n", stderr: "" });
  });
});
