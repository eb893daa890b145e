/** shoal node start for programs that are not nodes: flags, a configuration, who is let in, and what is refused before anything is opened. */
import { chmodSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { DiscoveryClient } from "../../src/cluster/index.js";
import { type Command, run, startWithout } from "./in-process.js";
import { file, useFolder, useRuntimeFolder } from "./support.js";

useFolder();
useRuntimeFolder();

let groups = 0;

function usersFile(text: string, mode = 0o600): string {
  const path = file();
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

async function ready(...args: string[]): Promise<{ node: Command; clients: string; clientsHttp: string }> {
  const node = startWithout("node", "start", "--json", ...args);
  const line = await node.until("stdout", /^.*"ready".*$/m);
  return { node, ...(JSON.parse(line[0] as string) as { clients: string; clientsHttp: string }) };
}

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
  const { node, clients, clientsHttp } = await ready(
    ...["--name", "mill", "--cluster", `clients-${process.pid}-${++groups}`],
    ...["--clients", "tcp://127.0.0.1:*", "--clients-http", "127.0.0.1:0", "--clients-port", "5672"],
    ...["--clients-users", usersFile("# who may ask\nana:secret:word\n\n")],
  );
  await answers(clients, clientsHttp, 5_672);
  await node.until("stderr", /refused 127\.0\.0\.1, which asked who is there: /);
  node.signal("SIGTERM");
  expect((await node.ended).code).toBe(0);
  await expect(fetch(clientsHttp)).rejects.toThrow();
});

it("does so by a configuration, which is checked", async () => {
  const path = `${file()}.yaml`;
  const clients = `clients:
  endpoint: tcp://127.0.0.1:*
  http: "*:0"
  port: 5673
  users:
    ana: { password: "secret:word", roles: [finder] }
    eve: { password: other }
  roles: { finder: [dynamicDiscovery] }
`;
  writeFileSync(path, `name: mill\ncluster: clients-${process.pid}-${++groups}\n${clients}`);
  const { node, ...served } = await ready("--config", path);
  await answers(served.clients, served.clientsHttp, 5_673);
  node.signal("SIGTERM");
  expect((await node.ended).code).toBe(0);
  writeFileSync(path, `name: mill\n${clients.replace("tcp:", "udp:")}`);
  const checked = await run("", "node", "check", path);
  expect(checked.code).toBe(1);
  expect(checked.stderr).toMatch(/:3:3: clients: Option endpoint must be tcp:\/\/HOST:PORT/);
});

it.each<[string, RegExp, () => string[]]>([
  [
    "no users",
    /--clients-users: it is missing; it goes with the others/,
    () => ["--clients", "tcp://127.0.0.1:*"],
  ],
  ["users of nothing", /--clients: /, () => ["--clients-users", usersFile("a:b\n")]],
  ["a file that others read", /can be read by others/, () => users(usersFile("a:b\n", 0o644))],
  ["a line without a password", /line 2: expected NAME:PASSWORD/, () => users(usersFile("a:b\nhunter2\n"))],
  ["a user twice", /line 2: a second a/, () => users(usersFile("a:b\na:c\n"))],
  ["no user", /has no user/, () => users(usersFile("# nobody\n"))],
  ["an address of HTTP", /expected HOST:PORT/, () => [...users(usersFile("a:b\n")), "--clients-http", "x"]],
])("is bad usage with %s", async (_, why, args) => {
  const { code, stdout, stderr } = await run("", "node", "start", "--name", "mill", ...args());
  expect(stderr).toMatch(why);
  expect(stderr).not.toMatch(/hunter2/);
  expect([code, stdout.length]).toEqual([2, 0]);
});

function users(path: string): string[] {
  return ["--clients", "tcp://127.0.0.1:*", "--clients-users", path];
}
