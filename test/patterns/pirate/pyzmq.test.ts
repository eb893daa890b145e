/** Against programs of pyzmq that do what the Guide's do, with their habits (6/PPP and chapter 4). */
import { describe, expect, it } from "vitest";
import { PirateClient, PirateQueue, PirateWorker } from "../../../src/patterns/pirate/index.js";
import { texts, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { pythonIn } from "./python.js";

const kept = closeAfterEach();
const python = pythonIn(kept);

/** As the programs there: 1.5 s, which no busy machine keeps them waiting for; each test lasts longer. */
const PATIENT = { heartbeatInterval: 100, liveness: 15 };

describe.skipIf(missing("pyzmq"))("the Pirates and pyzmq", () => {
  it("a queue here serves a worker and a client there, and neither takes the other for dead", async () => {
    const queue = kept(new PirateQueue(PATIENT));
    const frontend = await queue.bind("frontend", "tcp://127.0.0.1:*");
    const worker = python("ppp_worker.py", await queue.bind("backend", "tcp://127.0.0.1:*"));
    await worker.heard("ready");
    const client = python("req_client.py", frontend);
    for (let i = 0; i < 5; i++) expect(await within(client.line(), "a reply")).toBe(`py:${i}`);
    await within(worker.heard("beats"), "beats");
    expect(queue.stats()).toMatchObject({ idleWorkers: 1, workersLost: 0, invalid: 0, replies: 5 });
    expect((await worker.kill()).stdout).toBe("ready\nbeats\n");
    await until(() => queue.stats().workersLost === 1, "the loss");
  });

  it("a queue here serves simple workers there, of both ways to say that they are ready", async () => {
    const queue = kept(new PirateQueue());
    const frontend = await queue.bind("frontend", "tcp://127.0.0.1:*");
    const backend = await queue.bind("backend", "tcp://127.0.0.1:*");
    python("req_worker.py", backend, "READY", "text");
    python("req_worker.py", backend, "\x01", "byte");
    await until(() => queue.stats().idleWorkers === 2, "both workers");
    const client = python("req_client.py", frontend);
    const replies: string[] = [];
    for (let i = 0; i < 5; i++) replies.push(await within(client.line(), "a reply"));
    expect(replies.map((reply) => reply.slice(-1))).toEqual(["0", "1", "2", "3", "4"]);
    expect(new Set(replies.map((reply) => reply.slice(0, 4)))).toEqual(new Set(["text", "byte"]));
    expect(queue.stats()).toMatchObject({ idleWorkers: 2, invalid: 0, replies: 5 });
  });

  it("a worker and a client here go on behind a queue there", async () => {
    const queue = python("ppp_queue.py");
    const [front, back] = (await within(queue.line(), "the ports")).split(" ");
    const worker = kept(
      new PirateWorker(
        `tcp://127.0.0.1:${back}`,
        async ([body]) => {
          if (String(body) === "slow") await queue.heard("long ago: slow"); // Longer than both ends' patience with an idle peer.
          return `ts:${body}`;
        },
        PATIENT,
      ),
    );
    const client = kept(new PirateClient(`tcp://127.0.0.1:${front}`));
    for (const word of ["one", "slow", "two"]) {
      expect(texts(await within(client.request(word), word))).toEqual([`ts:${word}`]);
    }
    await within(queue.heard("long ago: two"), "18 idle intervals");
    expect(texts(await client.request("three"))).toEqual(["ts:three"]);
    expect(worker.stats()).toMatchObject({ requests: 4, dropped: 0, invalid: 0, silences: 0 });
    expect((await queue.kill()).stdout).not.toContain("invalid");
    await until(() => worker.stats().silences > 0, "the silence");
  });
});
