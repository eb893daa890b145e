/**
 * A member of a cluster with a rolling restart of its brokers: `rolled-member-main.js KIND GROUP NAME NUMBER`. Kinds:
 *
 *   broker   a broker of Majordomo. A line on its standard input lets it drain, leave and end
 *   worker   NUMBER workers
 *   client   NUMBER clients, each with one request in flight, from one line to the next; then it prints the results
 *
 * Each prints "ready", and ends with its standard input.
 */
import { ClusterNode } from "shoal/cluster";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "shoal/patterns";
import { Latencies } from "./histogram.js";

/** ms. Each broker has two thousand connections: shorter heartbeats would be most of the traffic. */
const HEARTBEAT = 2_000;
/** Answers after which a process of clients prints a line. */
const ANSWERS = 100;

const [kind = "", group = "", name = "", number = "1"] = process.argv.slice(2);
const node = new ClusterNode({ name, group });
const lines = process.stdin.setEncoding("utf8").on("end", () => process.exit(0));

function next(): Promise<unknown> {
  return new Promise((resolve) => lines.once("data", resolve));
}

async function broker(): Promise<void> {
  const made = new MajordomoBroker({ heartbeatInterval: HEARTBEAT, queueTimeout: 30_000, maxDeliveries: 20 });
  node.announce({ jobs: await made.bind("tcp://127.0.0.1:*") }, made);
  await node.start();
  console.log("ready");
  await next();
  await node.drain();
  await node.leave();
  process.exit(0);
}

async function workers(): Promise<void> {
  await node.start();
  for (let i = 0; i < Number(number); i++) {
    const worker = new MajordomoWorker(node.resolver({ has: ["jobs"] }), "echo", ([body]) => body as Buffer, {
      concurrency: 8,
      heartbeatInterval: HEARTBEAT,
      reconnectMaxInterval: 400,
    });
    await worker.ready();
  }
  console.log("ready");
}

async function clients(): Promise<void> {
  await node.start();
  const made = Array.from(
    { length: Number(number) },
    () =>
      new MajordomoClient(node.resolver({ has: ["jobs"] }), {
        heartbeatInterval: HEARTBEAT,
        timeout: 60_000,
        retries: 9,
      }),
  );
  await Promise.all(made.map((client) => client.ready()));
  console.log("ready");
  await next();
  const latencies = new Latencies();
  let isOver = false;
  let asked = 0;
  let answered = 0;
  let failed = 0;
  const work = async (client: MajordomoClient): Promise<void> => {
    while (!isOver) {
      const body = String(asked++);
      const from = process.hrtime.bigint();
      try {
        const [reply] = await client.request("echo", body);
        if (String(reply) !== body) failed += 1;
      } catch {
        failed += 1;
      }
      latencies.record(Number(process.hrtime.bigint() - from));
      answered += 1;
      if (answered % ANSWERS === 0) console.log(`answered ${answered}`);
    }
  };
  void next().then(() => (isOver = true));
  await Promise.all(made.map(work));
  console.log(JSON.stringify({ answered, failed, latency: latencies.table }));
}

const kinds: Readonly<Record<string, () => Promise<void>>> = { broker, worker: workers, client: clients };
const run = kinds[kind];
if (run === undefined) throw new Error(`unknown kind ${kind}`);
await run();
