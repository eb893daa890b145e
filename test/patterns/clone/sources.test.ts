/** Clients whose servers come and go with a source of endpoints, over real sockets. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { CloneClient, type CloneClientOptions, CloneServer } from "../../../src/patterns/index.js";
import { failure, thrown, until, within } from "../../contract/support/wait.js";
import { ListedEndpoints } from "../../support/listed-endpoints.js";
import { cloneRig, HEARTBEAT } from "./rig.js";

/** ms of a pair's heartbeats: on a busy machine neither server must be taken for dead. */
const CALM = 15 * HEARTBEAT;

const { folder, track } = cloneRig();

function clientOf(source: ListedEndpoints, options: CloneClientOptions = {}): CloneClient {
  return track(new CloneClient(source, { heartbeatInterval: HEARTBEAT, ...options }));
}

test("an update waits while the source has no server, or ends as its caller or the close wants it, and endpoints that leave no room for the other ports are refused once", async () => {
  const source = new ListedEndpoints();
  const client = clientOf(source);
  const refused: string[] = [];
  const lists: (readonly string[])[] = [];
  client.events
    .on("endpoint:refused", ({ endpoint, error }) => refused.push(`${endpoint} ${error.code}`))
    .on("source:changed", ({ endpoints }) => lists.push(endpoints));
  const update = client.set("k", "v");
  expect(await failure(client.ready({ timeout: 20 }))).toMatchObject({ code: "ETIMEDOUT" });
  for (const timeout of [0, 20])
    expect(await failure(client.set("late", "v", { timeout }))).toMatchObject({ code: "ETIMEDOUT" });
  const abort = new AbortController();
  const aborted = failure(client.set("no", "v", { signal: abort.signal }));
  abort.abort();
  expect(await aborted).toMatchObject({ code: "ABORT_ERR" });
  const server = track(new CloneServer({ heartbeatInterval: HEARTBEAT }));
  const endpoint = await server.bind("tcp://127.0.0.1:*");
  const bad = ["tcp://127.0.0.1:65533", "pgm://x"];
  source.set(...bad);
  await until(() => lists.length === 1, "the first list");
  source.set(...bad, endpoint);
  expect(await within(update, "the update")).toBe(1);
  expect(refused).toEqual([`${bad[0]} EINVAL`, `${bad[1]} EPROTONOSUPPORT`]);
  expect(lists).toEqual([[], [endpoint]]);
  source.fail(new Error("down"));
  await until(() => source.reads === 2, "another read");
  expect(client.state).toBe("live");
  await server.close();
  const last = failure(client.set("k", "w"));
  await client.close();
  expect(await last).toMatchObject({ code: "EAGAIN" });
  expect(await failure(client.set("k", "w"))).toMatchObject({ code: "EBADF" });
  const counts = { sets: 5, acknowledged: 1, timedOut: 2, aborted: 2 };
  expect(client.stats()).toMatchObject({ ...counts, state: "closed", inFlight: 0 });
  await until(() => source.readers === 0, "the end of the source");
});

test("a pair finds each other by a source, stays with the last endpoint, and follows a peer that moves", async () => {
  const at = folder();
  const place = (name: string): string => `ipc://${join(at, name)}`;
  const [here, there, moved] = [place("p"), place("b"), place("b2")];
  const peers = [new ListedEndpoints(), new ListedEndpoints([here])] as const;
  const serverOf = (role: "primary" | "backup", peer: ListedEndpoints): CloneServer =>
    track(new CloneServer({ heartbeatInterval: CALM, pair: { role, peer } }));
  const joined = (server: CloneServer) =>
    new Promise((resolve) => server.events.on("replica:joined", resolve));
  const primary = serverOf("primary", peers[0]);
  const refused = new Promise<string>((resolve) =>
    primary.events.on("endpoint:refused", ({ endpoint }) => resolve(endpoint)),
  );
  const first = joined(primary);
  await primary.bind(here);
  const backup = serverOf("backup", peers[1]);
  await backup.bind(there);
  // No room for five ports: it is left out, and said.
  peers[0].set("tcp://127.0.0.1:65534", there);
  expect(await within(refused, "the refusal")).toBe("tcp://127.0.0.1:65534");
  await within(first, "the backup's map");
  expect(peers.map(({ readers }) => readers)).toEqual([1, 1]);
  peers[0].set();
  primary.set("k", "v");
  await until(() => backup.get("k") !== undefined, "the update, though the list is empty");
  const again = joined(primary);
  await backup.close();
  const other = serverOf("backup", new ListedEndpoints([here]));
  await other.bind(moved);
  peers[0].set(moved);
  await within(again, "the map at the other place");
  expect(String(other.get("k"))).toBe("v");
  await Promise.all([primary.close(), other.close()]);
  await until(() => peers.every((peer) => peer.readers === 0), "the end of the sources");
  for (const peer of [7, {}, "", undefined])
    expect(thrown(() => new CloneServer({ pair: { role: "primary", peer: peer as string } }))).toMatchObject({
      code: "EINVAL",
    });
}, 30_000);
