/** shoal node start for programs that are not nodes: flags, a configuration, who is let in, and what is refused before anything is opened. */
import { expect, it } from "vitest";
import { DiscoveryClient } from "../../src/cluster/index.js";
import { fails, run } from "./in-process.js";
import { newCluster, startReady } from "./nodes.js";
import { useFolder, useRuntimeFolder, written } from "./support.js";

useFolder();
useRuntimeFolder();

type Ready = { readonly clients: string; readonly clientsHttp: string };

async function answers(clients: string, clientsHttp: string, port: number): Promise<void> {
  const basic = (text: string): RequestInit => ({
    headers: { authorization: `Basic ${Buffer.from(text).toString("base64")}` },
  });
  const listed = await fetch(clientsHttp, basic("ana:secret:word"));
  expect(listed.status).toBe(200);
  const { nodes } = (await listed.json()) as { nodes: { name: string; addresses: { port: number }[] }[] };
  expect(nodes.map(({ name }) => name.split("@")[0])).toEqual(["mill"]);
  expect(nodes[0]?.addresses[0]?.port).toBe(port);
  expect((await fetch(clientsHttp, basic("ana:wrong"))).status).toBe(401);
  const client = new DiscoveryClient({
    addresses: clients.replace("tcp://", ""),
    username: "ana",
    password: "secret:word",
  });
  await client.ready();
  expect(client.nodes).toHaveLength(1);
  await client.close();
}

it("answers users of a file by a socket and by HTTP, and logs who is refused", async () => {
  const { node, clients, clientsHttp } = await startReady<Ready>(
    ...["--name", "mill", "--cluster", newCluster()],
    ...["--clients", "tcp://127.0.0.1:*", "--clients-http", "127.0.0.1:0", "--clients-port", "5672"],
    ...["--clients-users", written("# who may ask\nana:secret:word\n\n")],
  );
  await answers(clients, clientsHttp, 5_672);
  await node.until("stderr", /refused 127\.0\.0\.1, which asked who is there: /);
  await node.stop();
  await expect(fetch(clientsHttp)).rejects.toThrow();
});

it("does so by a configuration, which is checked", async () => {
  const clients = `clients:
  endpoint: tcp://127.0.0.1:*
  http: "*:0"
  port: 5673
  users:
    ana: { password: "secret:word", permissions: [dynamicDiscovery] }
    eve: { password: other }
`;
  const path = written(`name: mill\ncluster: ${newCluster()}\n${clients}`);
  const { node, ...served } = await startReady<Ready>("--config", path);
  await answers(served.clients, served.clientsHttp, 5_673);
  await node.stop();
  const wrong = written(`name: mill\n${clients.replace("tcp:", "udp:")}`);
  const checked = await run("", "node", "check", wrong);
  expect(checked.code).toBe(1);
  expect(checked.stderr).toMatch(/:3:3: clients: Option endpoint must be tcp:\/\/HOST:PORT/);
});

it.each<[string, RegExp, () => string[]]>([
  [
    "no users",
    /--clients-users: it is missing; it goes with the others/,
    () => ["--clients", "tcp://127.0.0.1:*"],
  ],
  ["users of nothing", /--clients: /, () => ["--clients-users", written("a:b\n")]],
  ["a file that others read", /can be read by others/, () => users(written("a:b\n", 0o644))],
  ["a line without a password", /line 2: expected NAME:PASSWORD/, () => users(written("a:b\nhunter2\n"))],
  ["a user twice", /line 2: a second a/, () => users(written("a:b\na:c\n"))],
  ["no user", /has no user/, () => users(written("# nobody\n"))],
  ["an address of HTTP", /expected HOST:PORT/, () => [...users(written("a:b\n")), "--clients-http", "x"]],
])("is bad usage with %s", async (_, why, args) => {
  expect(await fails(2, why, ["node", "start", "--name", "mill", ...args()])).not.toMatch(/hunter2/);
});

function users(path: string): string[] {
  return ["--clients", "tcp://127.0.0.1:*", "--clients-users", path];
}
