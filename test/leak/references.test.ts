/** What a program forgets or stops using is given back, too. */
import { describe, expect, it } from "vitest";
import { run } from "../process/child.js";

const HELP = `
import { getEventListeners } from "node:events";
import { readdirSync } from "node:fs";
import { Dealer, Observer, Pair, Pull, Push, Router, Subscriber } from "shoal";
const descriptors = () => readdirSync("/proc/self/fd").length;
const turn = () => new Promise((resolve) => setTimeout(resolve, 10));
const until = async (done) => {
  // A WeakRef that was looked at keeps its object until the turn ends: the collection comes in the next.
  for (let i = 0; i < 500 && !done(); i++) { await turn(); globalThis.gc(); }
  return done();
};
const heap = () => { globalThis.gc(); globalThis.gc(); return process.memoryUsage().heapUsed; };
`;
/** @returns what a program printed that ended well */
async function ran(source: string): Promise<string> {
  const { code, stdout, stderr } = await run(HELP + source, { node: ["--expose-gc"] });
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

describe.skipIf(process.platform !== "linux" && "counts descriptors in /proc")("a process gets back", () => {
  it("sockets that were only connected and then forgotten", async () => {
    const printed = await ran(`
      const make = () => {
        const sockets = [];
        for (let i = 0; i < 100; i++) {
          for (const Type of [Dealer, Subscriber]) {
            const socket = new Type({ linger: 0 });
            socket.connect("tcp://127.0.0.1:1");
            sockets.push(new WeakRef(socket));
          }
        }
        return sockets;
      };
      { const first = new Dealer({ linger: 0 }); first.connect("tcp://127.0.0.1:1"); await first.close(); }
      const before = descriptors();
      const forgotten = make();
      const collected = await until(() => forgotten.every((ref) => ref.deref() === undefined));
      const closed = await until(() => descriptors() <= before + 10);
      console.log(JSON.stringify({ collected, closed }));`);
    const { collected, closed } = JSON.parse(printed);
    expect([collected, closed]).toEqual([true, true]);
  });

  it("the listeners on one long-lived signal that thousands of waits used, without a warning", async () => {
    const printed = await ran(`
      const { signal } = new AbortController();
      const pull = new Pull(); await pull.bind("inproc://signal");
      const push = new Push(); push.connect("inproc://signal");
      const rounds = async (count) => {
        for (let i = 0; i < count; i++) {
          const waiting = pull.receive({ signal });
          await push.send("m", { signal });
          await waiting;
          await push.send("m", { signal });
          await pull.receiveMany({ signal });
          if (i % 100 === 0) await pull.receive({ signal, timeout: 0 }).catch(() => undefined);
        }
      };
      await rounds(1_000);
      // Code that is compiled or thrown away meanwhile is in the heap, too: 140 KB more or less. A leak grows each time.
      let grown = Infinity;
      for (let tries = 0; tries < 5 && grown >= 200_000; tries++) {
        const before = heap();
        await rounds(1_000);
        grown = heap() - before;
      }
      const many = Array.from({ length: 1_000 }, () => pull.receive({ signal }));
      for (let i = 0; i < 1_000; i++) await push.send("m");
      await Promise.all(many);
      console.log(JSON.stringify({ grown, listeners: getEventListeners(signal, "abort").length }));
      await Promise.all([push.close(), pull.close()]);`);
    const { grown, listeners } = JSON.parse(printed);
    expect(listeners).toBe(0);
    expect(grown).toBeLessThan(200_000);
  });

  it("the listeners on a signal whose waits ended by the closing of their socket", async () => {
    const printed = await ran(`
      const { signal } = new AbortController();
      const ends = [];
      for (let i = 0; i < 200; i++) {
        const pull = new Pull(); const push = new Push({ linger: 0 }); const dealer = new Dealer();
        dealer.connect("tcp://127.0.0.1:1");
        ends.push(pull.receive({ signal }), push.send("m", { signal }), dealer.ready({ signal }), dealer.events.receive({ signal }));
        for (const socket of [pull, push, dealer]) socket.close({ linger: 0 });
      }
      const codes = new Set((await Promise.allSettled(ends)).map((end) => end.status === 'fulfilled' ? 'event' : end.reason.code));
      await turn();
      console.log(JSON.stringify({ codes: [...codes].sort(), listeners: getEventListeners(signal, "abort").length }));`);
    const { codes, listeners } = JSON.parse(printed);
    expect(listeners).toBe(0);
    for (const code of codes) expect(["EAGAIN", "EBADF", "event"]).toContain(code);
  });

  it("event listeners that were removed, and those of closed sockets", async () => {
    const printed = await ran(`
      const refs = [];
      const listen = (socket, remove) => {
        const hear = () => refs;
        refs.push(new WeakRef(hear));
        socket.events.on("handshake", hear);
        const once = () => refs;
        refs.push(new WeakRef(once));
        socket.events.once("handshake", once);
        if (remove) { socket.events.off("handshake", hear); socket.events.off("handshake", once); }
      };
      const kept = new Dealer();
      for (let i = 0; i < 500; i++) listen(kept, true);
      const closed = [new Dealer(), new Router()];
      for (const socket of closed) for (let i = 0; i < 100; i++) listen(socket, false);
      await Promise.all(closed.map((socket) => socket.close()));
      console.log(await until(() => refs.every((ref) => ref.deref() === undefined)), kept.closed);`);
    expect(printed).toBe("true false\n");
  });

  it("the memory of messages that were received, sent or withdrawn", async () => {
    const printed = await ran(`
      const one = new Pair(); await one.bind("inproc://memory");
      const two = new Pair(); two.connect("inproc://memory");
      const full = new Push({ sendTimeout: 0 });
      const external = () => { globalThis.gc(); globalThis.gc(); const m = process.memoryUsage(); return m.external + m.heapUsed; };
      const rounds = async (count) => {
        for (let i = 0; i < count; i++) {
          await one.send(Buffer.alloc(100_000));
          await two.receive();
          await full.send(Buffer.alloc(100_000)).catch(() => undefined);
          const stop = new AbortController();
          const withdrawn = full.send(Buffer.alloc(100_000), { signal: stop.signal, timeout: -1 }).catch(() => undefined);
          stop.abort();
          await withdrawn;
        }
        await turn();
      };
      await rounds(200);
      const before = external();
      await rounds(300);
      // The package lets go of sent memory from its own thread, and V8 of received memory some turns later.
      let left = external() - before;
      for (let i = 0; i < 300 && left >= 20_000_000; i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        left = external() - before;
      }
      console.log(left);
      await Promise.all([one.close(), two.close(), full.close()]);`);
    // 90 MB went through; what is there is the collector's and the allocator's.
    expect(Number(printed)).toBeLessThan(20_000_000);
  });
});
