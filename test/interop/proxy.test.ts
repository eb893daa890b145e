/**
 * libzmq's own proxy between sockets of ours; ours between sockets of pyzmq: test/proxy/pyzmq.test.ts.
 * Through a proxy, subscriptions arrive as messages that an XSUB's application
 * writes: libzmq sends those as messages, not as commands, also to a peer of 3.1.
 */
import { describe, expect, it } from "vitest";
import { Context, Publisher, Reply, Request, Subscriber } from "../../src/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { OURS } from "./kinds.js";
import { NO_PYTHON, usePython } from "./python-peer.js";

const ANY = "tcp://127.0.0.1:*";
const LIMIT = 8_000;

const own = closeAfterEach();

describe.each(OURS)("engine %s", (engine) => {
  const context = new Context({ engine });

  describe.skipIf(NO_PYTHON)(`and the proxy of pyzmq${NO_PYTHON ? `: skipped, ${NO_PYTHON}` : ""}`, () => {
    const peer = usePython();

    /** @returns where its frontend and its backend are bound */
    async function proxy(front: string, back: string): Promise<[string, string]> {
      const frontend = await peer().open(front);
      const backend = await peer().open(back);
      const endpoints = [await frontend.bind(ANY), await backend.bind(ANY)] as [string, string];
      await peer().call("proxy", { frontend: frontend.id, backend: backend.id });
      return endpoints;
    }

    it("subscriptions, cancellations and messages pass, also to a publisher that comes late", async () => {
      const [front, back] = await proxy("XSUB", "XPUB");
      const publisher = own(new Publisher({ context }));
      const subscriber = own(new Subscriber({ context, receiveTimeout: LIMIT }));
      publisher.connect(front);
      subscriber.connect(back);
      subscriber.subscribe("a");
      await publisher.waitForSubscribers({ topic: "a", timeout: LIMIT });
      for (let i = 0; i < 50; i++) {
        await publisher.send(["b", `${i}`]);
        await publisher.send(["a", `${i}`]);
      }
      for (let i = 0; i < 50; i++) {
        expect((await subscriber.receive()).map(String)).toEqual(["a", `${i}`]);
      }

      const late = own(new Publisher({ context }));
      late.connect(front);
      await late.waitForSubscribers({ topic: "a", timeout: LIMIT });
      await late.send(["ab", "late"]);
      expect((await subscriber.receive()).map(String)).toEqual(["ab", "late"]);

      const cancelled = new Promise<{ topic: Buffer }>((resolve) =>
        publisher.events.once("unsubscribe", resolve),
      );
      subscriber.unsubscribe("a");
      expect(String((await cancelled).topic)).toBe("a");
    });

    it("requests and replies pass with their envelopes", async () => {
      const [front, back] = await proxy("ROUTER", "DEALER");
      const reply = own(new Reply({ context, receiveTimeout: LIMIT }));
      const request = own(new Request({ context, receiveTimeout: LIMIT }));
      reply.connect(back);
      request.connect(front);
      for (let i = 0; i < 20; i++) {
        await request.send([`question ${i}`, ""]);
        const question = await reply.receive();
        expect(question.map(String)).toEqual([`question ${i}`, ""]);
        await reply.send(["answer to", ...question]);
        expect((await request.receive()).map(String)).toEqual(["answer to", `question ${i}`, ""]);
      }
    });
  });
});
