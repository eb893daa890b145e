/** A story of crashes and restarts, by one seed: prints its digest, its number of events and its trace. */
import { curveKeyPair, Publisher, Subscriber } from "shoal";
import { CloneClient, CloneServer } from "shoal/clone";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/majordomo";
import { simulate } from "shoal/testing";

const { digest, events, trace } = await simulate(
  { seed: 5, network: { latency: [1, 20], loss: 0.02 } },
  async (world) => {
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
        curveServerKey: server.publicKey,
        curveSecretKey: own.secretKey,
        curvePublicKey: own.publicKey,
      });
      subscriber.subscribe();
      subscriber.connect("tcp://a:3");
      void (async () => {
        for await (const _ of subscriber);
      })();
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
  },
);
console.log(digest, events, trace);
