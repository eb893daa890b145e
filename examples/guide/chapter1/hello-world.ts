/**
 * Hello World: a client asks, a server answers.
 *
 * A REQ and a REP socket take turns: ask, answer, ask, answer. Look at `request`: it has a timeout and can try again. A plain
 * `send` and `receive` on a REQ socket would wait forever for a server that was lost with the question.
 *
 *   node examples/guide/chapter1/hello-world.ts [server | client] [ENDPOINT]
 */
import { Reply, Request, text } from "shoal";

const [role = "all", given] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "inproc://hello-world" : "tcp://127.0.0.1:5555");

/** Answers until its socket closes. */
async function answer(server: Reply<string>): Promise<void> {
  for await (const [question] of server) {
    console.log(`server: received ${question}`);
    await server.send("World");
  }
}

async function ask(): Promise<void> {
  const client = new Request({ codec: text() });
  client.connect(endpoint); // The server may be started later.
  for (let i = 1; i <= 3; i++) {
    const [reply] = await client.request("Hello", { attemptTimeout: 2_500, retries: 3 });
    console.log(`client: received ${reply} ${i}`);
  }
  await client.close();
}

if (role === "client") {
  await ask();
} else {
  const server = new Reply({ codec: text() });
  await server.bind(endpoint);
  const answering = answer(server);
  if (role === "server") process.once("SIGINT", () => server.close());
  else {
    await ask();
    await server.close();
  }
  await answering;
}
