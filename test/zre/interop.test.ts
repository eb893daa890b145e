/**
 * The ZRE plane against peers that nobody here wrote the code of: one from the document's text over pyzmq, and czmq's zbeacon, which
 * uses no loopback interface and so gets a network of its own.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { ZreEvent } from "../../src/zre/rules.js";
import { Child, ROOT } from "../process/child.js";
import { removeAfterEach } from "../support/folders.js";
import { LONG } from "../support/long.js";
import { missing, peerAt } from "../support/peers.js";
import { freePort } from "../support/ports.js";
import { Plane } from "./planes.js";

const PEERS = join(ROOT, "test/zre/peers");
const NO_PYTHON = missing("pyzmq");
const NO_ZBEACON = missing("czmq") || missing("networks");
for (const reason of [NO_PYTHON, NO_ZBEACON]) if (reason !== false) console.log(`skipped: ${reason}`);

const makeFolder = removeAfterEach();
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function start(command: string, ...args: string[]): Child {
  const child = new Child(command, args, { limit: 60_000 });
  cleanups.push(() => (child.running ? child.kill() : undefined));
  return child;
}

/** The rest of the first line that begins so; others are passed over. */
async function lineOf(child: Child, begin: string): Promise<string> {
  for (;;) {
    const line = await child.line();
    if (line.startsWith(begin)) return line.slice(begin.length).trim();
  }
}

describe.skipIf(NO_PYTHON)("a peer by the document's text", () => {
  it("enters, joins, shouts, whispers, pings and leaves, in both directions, and sees that this node leaves", async () => {
    const port = await freePort();
    const plane = new Plane({ name: "ours", port, interface: "lo", headers: { "X-A": "1" } });
    cleanups.push(() => plane.close());
    const next = <T extends ZreEvent["type"]>(type: T): Promise<ZreEvent & { readonly type: T }> =>
      new Promise((resolve) => void plane.events.once(type, (event) => resolve(event as never)));
    await plane.start();
    plane.join("before");
    const entered = next("enter");
    const peer = (): Child =>
      start(peerAt("pyzmq"), join(PEERS, "zre_peer.py"), "127.255.255.255", `${port}`);
    const python = peer();
    const uuid = await lineOf(python, "READY");
    expect((await entered).peer).toMatchObject({ uuid, name: "python" });
    expect(plane.peer("python")?.headers).toMatchObject({ "X-P": "yes" });
    // uuid, name, groups, and the status after one JOIN.
    expect(await lineOf(python, "HELLO")).toBe(`${plane.uuid} ours 1 1`);

    plane.join("G");
    expect(await lineOf(python, "JOIN")).toBe("2 G 2");
    const joined = next("join");
    python.write("join G\n");
    expect((await joined).group).toBe("G");
    expect(plane.shout("G", "to", "all")).toBe(1);
    expect(await lineOf(python, "SHOUT")).toBe("3 G to all");
    plane.whisper("python", "alone");
    expect(await lineOf(python, "WHISPER")).toBe("4 alone");
    const [shout, whisper] = [next("shout"), next("whisper")];
    python.write("shout G hello\nwhisper you\nping\n");
    expect((await shout).frames.map(String)).toEqual(["hello"]);
    expect((await whisper).frames.map(String)).toEqual(["you"]);
    expect(await lineOf(python, "PING-OK")).toBe("5");
    plane.leave("G");
    expect(await lineOf(python, "LEAVE")).toBe("6 G 3");
    const exit = next("exit");
    python.write("leave\n");
    expect((await exit).reason).toBe("left");
    python.write("quit\n");

    const again = next("enter");
    const stays = peer();
    await again;
    await lineOf(stays, "HELLO"); // The mailbox stands.
    await plane.close();
    expect(await lineOf(stays, "LEFT")).toBe(plane.uuid);
  });
});

/**
 * The mailbox that zbeacon speaks of stands, and says no HELLO: so a peer stays pending until it leaves, and is not given up as one
 * that cannot be reached.
 */
const NODE = `
  import { Router } from "shoal";
  import { ClusterNode } from "shoal/cluster";
  const mailbox = new Router();
  mailbox.events.on("peer:join", () => console.log("PENDING 1")).on("peer:leave", () => console.log("PENDING 0"));
  await mailbox.bind("tcp://10.213.8.1:9000");
  const zre = { interface: "near", ports: "9001-9001", expired: 60_000 };
  const node = new ClusterNode({ cluster: "zbeacon", multicast: false, registry: false, zre });
  await node.start();
  console.log("READY", node.id, "tcp://10.213.8.1:9001");
  process.stdin.on("end", () => node.close().then(() => process.exit())).resume();
`;

it.skipIf(!LONG || NO_ZBEACON)("czmq's zbeacon hears this node's beacons, and is heard", async () => {
  const program = join(makeFolder(), "zbeacon");
  execFileSync("cc", [join(PEERS, "zbeacon.c"), "-o", program, "-lczmq", "-lzmq"], { timeout: 60_000 });
  const network = `shoal-zre-${process.pid}`;
  const ip = (...args: string[]): void => void execFileSync("ip", args, { timeout: 10_000 });
  ip("netns", "add", network);
  cleanups.push(() => ip("netns", "del", network));
  ip("-n", network, "link", "add", "near", "type", "veth", "peer", "name", "far");
  ip("-n", network, "addr", "add", "10.213.8.1/24", "brd", "10.213.8.255", "dev", "near");
  for (const name of ["lo", "near", "far"]) ip("-n", network, "link", "set", name, "up");

  const inNetwork = ["netns", "exec", network] as const;
  const node = start("ip", ...inNetwork, process.execPath, "--input-type=module", "-e", NODE);
  const [uuid, endpoint] = (await lineOf(node, "READY")).split(" ") as [string, string];
  const other = "AB".repeat(16);
  const startBeacon = (): Child => start("ip", ...inNetwork, program, "5670", other, "9000");
  const port = Number(endpoint.split(":").at(-1)).toString(16).padStart(4, "0");
  const alive = `10.213.8.1 5a524501${uuid}${port}`;
  const beacon = startBeacon();
  expect((await lineOf(beacon, "BEACON")).toLowerCase()).toBe(alive);
  expect(await lineOf(node, "PENDING")).toBe("1");
  beacon.end();
  expect(await lineOf(node, "PENDING")).toBe("0");
  await beacon.kill();

  // The node says that it leaves at one time only: to one that is known to hear it.
  const again = startBeacon();
  expect((await lineOf(again, "BEACON")).toLowerCase()).toBe(alive);
  node.end();
  let last: string;
  do last = (await lineOf(again, "BEACON")).toLowerCase();
  while (last === alive);
  expect(last).toBe(`10.213.8.1 5a524501${uuid}0000`);
});
