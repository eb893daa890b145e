/** Between a publisher and a subscriber of pyzmq, which know nothing of the cache. */
import { describe, expect, it } from "vitest";
import { ENGINE_NAMES } from "../../../src/engine/select.js";
import { Context } from "../../../src/index.js";
import { LastValueCache } from "../../../src/patterns/last-value-cache/index.js";
import { until } from "../../contract/support/wait.js";
import { Child } from "../../process/child.js";
import { closeAfterEach } from "../../support/close-after-each.js";
import { missing, peerAt } from "../../support/peers.js";

const PYTHON = peerAt("pyzmq");
const kept = closeAfterEach();

function python(source: string, ...args: string[]): Child {
  const child = new Child(PYTHON, ["-c", source, ...args]);
  kept({ close: () => child.kill() });
  return child;
}

/** The Guide's pathopub: everything once, then one topic for each line that it reads. */
const PUBLISHER = `
import sys, zmq
context = zmq.Context()
socket = context.socket(zmq.XPUB)
socket.connect(sys.argv[1])
socket.recv()
for number in range(1000):
    socket.send_multipart([b"%03d" % number, b"Save Roger"])
print("sent", flush=True)
for line in sys.stdin:
    socket.send_multipart([line.strip().encode(), b"Off with his head!"])
`;

/** The Guide's pathosub: one topic, or a prefix. */
const SUBSCRIBER = `
import sys, zmq
context = zmq.Context()
socket = context.socket(zmq.SUB)
socket.subscribe(sys.argv[2].encode())
socket.connect(sys.argv[1])
while True:
    print(*[frame.decode() for frame in socket.recv_multipart()], sep="|", flush=True)
`;

describe.skipIf(missing("pyzmq")).each([...ENGINE_NAMES])(
  "the last value cache and pyzmq, engine %s",
  (engine) => {
    const context = new Context({ engine });

    it("a subscriber of pyzmq gets the last value at once, and a prefix of topics", async () => {
      const cache = kept(new LastValueCache({ frontendOptions: { context }, backendOptions: { context } }));
      const publisher = python(PUBLISHER, await cache.bind("frontend", "tcp://127.0.0.1:*"));
      const backend = await cache.bind("backend", "tcp://127.0.0.1:*");
      await publisher.heard("sent");
      await until(() => cache.stats().topics === 1_000, "all topics");
      const one = python(SUBSCRIBER, backend, "042");
      expect(await one.line()).toBe("042|Save Roger");
      const many = python(SUBSCRIBER, backend, "98");
      const lines: string[] = [];
      while (lines.length < 10) lines.push(await many.line());
      expect(lines).toEqual(Array.from({ length: 10 }, (_, i) => `98${i}|Save Roger`));
      publisher.tell("042");
      expect(await one.line()).toBe("042|Off with his head!");
      publisher.tell("985");
      expect(await many.line()).toBe("985|Off with his head!");
      const late = python(SUBSCRIBER, backend, "042");
      expect(await late.line()).toBe("042|Off with his head!");
    });
  },
);
