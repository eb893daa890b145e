/**
 * A request-reply broker by hand: clients know the broker's one endpoint, workers come and go behind it.
 *
 * A ROUTER puts the address of the client in front of each request; a DEALER deals the requests out to the workers, REP
 * sockets, which keep the address aside and put it back. So the broker only has to carry messages across, both ways, without
 * looking into them. Look at the two loops: they are all of it. `proxy-queue.ts` has the same without the loops.
 *
 *   node examples/guide/chapter2/request-broker.ts [broker | worker | client] [FRONTEND] [BACKEND]
 */
import { Dealer, Reply, Request, Router, text } from "shoal";

const [role = "all", ...given] = process.argv.slice(2);
const [frontendAt, backendAt] =
  role === "all"
    ? ["inproc://clients", "inproc://workers"]
    : [given[0] ?? "tcp://127.0.0.1:5559", given[1] ?? "tcp://127.0.0.1:5560"];

const frontend = new Router();
const backend = new Dealer();

async function carryRequests(): Promise<void> {
  for await (const message of frontend) await backend.send(message);
}
async function carryReplies(): Promise<void> {
  for await (const message of backend) await frontend.send(message);
}

/** Answers until its socket closes. */
async function work(worker: Reply<string>): Promise<void> {
  worker.connect(backendAt);
  for await (const [request] of worker) await worker.send(`${request} World`);
}

async function ask(): Promise<void> {
  const client = new Request({ codec: text() });
  client.connect(frontendAt);
  for (let i = 1; i <= 3; i++) {
    const [reply] = await client.request(`Hello ${i},`, { attemptTimeout: 2_500, retries: 3 });
    console.log(`client: ${reply}`);
  }
  await client.close();
}

if (role === "client") {
  await ask();
} else if (role === "worker") {
  const worker = new Reply({ codec: text() });
  process.once("SIGINT", () => worker.close());
  await work(worker);
} else {
  await Promise.all([frontend.bind(frontendAt), backend.bind(backendAt)]);
  const carrying = [carryRequests(), carryReplies()];
  const end = () => Promise.all([frontend.close(), backend.close()]);
  if (role === "broker") process.once("SIGINT", end);
  else {
    const worker = new Reply({ codec: text() });
    const working = work(worker);
    await ask();
    await worker.close();
    await working;
    await end();
  }
  await Promise.all(carrying);
}
