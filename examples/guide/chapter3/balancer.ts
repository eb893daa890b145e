/**
 * The same broker, finished: a `LoadBalancer`, workers that are functions, and a client with many requests in flight.
 *
 * The Guide's lbbroker3 turns its loop into a reactor with a handler for each socket; in JavaScript the event loop is the
 * reactor. This broker does more than the ones by hand: it bounds its queue, notices lost workers and clients, gives the request
 * of a lost worker to another, and counts all of it.
 *
 *   node examples/guide/chapter3/balancer.ts
 */
import { LoadBalancer, LoadBalancerClient } from "shoal/load-balancer";
import { PirateWorker } from "shoal/pirate";

const broker = new LoadBalancer({ maxQueue: 1_000 });
const frontend = await broker.bind("frontend", "tcp://127.0.0.1:*");
const backend = await broker.bind("backend", "tcp://127.0.0.1:*");

const workers = Array.from({ length: 3 }, () => {
  return new PirateWorker(backend, ([request]) => `${request} OK`, { dialect: "simple" });
});
const client = new LoadBalancerClient(frontend);
const replies = await Promise.all(["one", "two", "three", "four"].map((request) => client.request(request)));
console.log(`client: ${replies.join(", ")}`);

const { requests, replies: answered, workersLost } = broker.stats();
console.log(`broker: ${requests} requests, ${answered} replies, ${workersLost} workers lost`);

await client.close();
await Promise.all(workers.map((worker) => worker.close()));
await broker.close();
