/** Against programs of pyzmq that do what the Guide's do, with their habits (6/PPP and chapter 4). */
import { describe, expect, it } from "vitest";
import { PirateClient, PirateQueue, PirateWorker } from "../../../src/patterns/pirate/index.js";
import { texts, until, within } from "../../contract/support/wait.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing } from "../../support/peers.js";
import { pythonIn, SIMPLE_WORKER } from "./python.js";

const kept = closeAfterEach();
const python = pythonIn(kept);

/** Beats from its loop only, takes exactly three frames, and gives its queue up after fifteen silent intervals. */
const WORKER = `
import sys, time, zmq
context, interval = zmq.Context(), 0.1
def connect():
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.connect(sys.argv[1])
    socket.send(b"\\x01")
    return socket
socket, lives, beat_at = connect(), 15, time.time() + interval
beats = 0
print("ready", flush=True)
while True:
    if socket.poll(interval * 1000):
        frames = socket.recv_multipart()
        if len(frames) == 3:
            socket.send_multipart([frames[0], b"", b"py:" + frames[2]])
            lives = 15
        elif frames == [b"\\x02"]:
            lives = 15
            beats += 1
            if beats == 18:
                print("beats", flush=True)
        else:
            print("invalid", frames, flush=True)
    else:
        lives -= 1
        if lives == 0:
            print("lost", flush=True)
            socket.close()
            socket, lives = connect(), 15
    if time.time() > beat_at:
        beat_at = time.time() + interval
        socket.send(b"\\x02")
`;

/**
 * Any message of a worker makes it ready; it beats only for idle ones, and only when it is woken. It says when a request
 * was 18 intervals ago: longer than anybody's patience.
 */
const QUEUE = `
import sys, time, zmq
context, interval = zmq.Context(), 0.1
frontend, backend = context.socket(zmq.ROUTER), context.socket(zmq.ROUTER)
ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in (frontend, backend)]
print(*ports, flush=True)
workers, beat_at, passed = {}, time.time() + interval, []
poller = zmq.Poller()
poller.register(frontend, zmq.POLLIN)
poller.register(backend, zmq.POLLIN)
while True:
    ready = dict(poller.poll(interval * 1000))
    if backend in ready:
        worker, *message = backend.recv_multipart()
        workers.pop(worker, None)
        workers[worker] = time.time() + 15 * interval
        if len(message) == 1:
            if message[0] not in (b"\\x01", b"\\x02"):
                print("invalid", message, flush=True)
        else:
            frontend.send_multipart(message)
        if time.time() >= beat_at:
            for worker in workers:
                backend.send_multipart([worker, b"\\x02"])
            beat_at = time.time() + interval
    if frontend in ready and workers:
        worker = next(iter(workers))
        del workers[worker]
        message = frontend.recv_multipart()
        backend.send_multipart([worker] + message)
        passed.append((time.time() + 18 * interval, message[-1].decode()))
    while passed and passed[0][0] <= time.time():
        print("long ago:", passed.pop(0)[1], flush=True)
    workers = {worker: expiry for worker, expiry in workers.items() if expiry > time.time()}
`;

/** A REQ client that opens a new socket for each try. */
const CLIENT = `
import sys, zmq
context = zmq.Context()
for number in range(5):
    for attempt in range(5):
        socket = context.socket(zmq.REQ)
        socket.linger = 0
        socket.connect(sys.argv[1])
        socket.send(str(number).encode())
        if socket.poll(2500):
            print(socket.recv().decode(), flush=True)
            break
        socket.close()
`;

/** As the programs there: 1.5 s, which no busy machine keeps them waiting for; each test lasts longer. */
const PATIENT = { heartbeatInterval: 100, liveness: 15 };

describe.skipIf(missing("pyzmq"))("the Pirates and pyzmq", () => {
  it("a queue here serves a worker and a client there, and neither takes the other for dead", async () => {
    const queue = kept(new PirateQueue(PATIENT));
    const frontend = await queue.bind("frontend", "tcp://127.0.0.1:*");
    const worker = python(WORKER, await queue.bind("backend", "tcp://127.0.0.1:*"));
    await worker.heard("ready");
    const client = python(CLIENT, frontend);
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
    python(SIMPLE_WORKER, backend, "READY", "text");
    python(SIMPLE_WORKER, backend, "\x01", "byte");
    await until(() => queue.stats().idleWorkers === 2, "both workers");
    const client = python(CLIENT, frontend);
    const replies: string[] = [];
    for (let i = 0; i < 5; i++) replies.push(await within(client.line(), "a reply"));
    expect(replies.map((reply) => reply.slice(-1))).toEqual(["0", "1", "2", "3", "4"]);
    expect(new Set(replies.map((reply) => reply.slice(0, 4)))).toEqual(new Set(["text", "byte"]));
    expect(queue.stats()).toMatchObject({ idleWorkers: 2, invalid: 0, replies: 5 });
  });

  it("a worker and a client here go on behind a queue there", async () => {
    const queue = python(QUEUE);
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
