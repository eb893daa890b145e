/** Interfaces that come up, go and get other addresses while a node runs: in network namespaces. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { ClusterNode } from "../../src/cluster/index.js";
import { allInterfaces } from "../../src/cluster/net/addresses.js";
import { MACHINE, setPlatformStandIn } from "../../src/engine/zmtp/transport/transports.js";
import { HostNetworks } from "../cli/nodes.js";
import { thrown } from "../contract/support/wait.js";
import { Child } from "../process/child.js";
import { LONG } from "../support/long.js";
import { missing } from "../support/peers.js";

const PROGRAM = `
import { ClusterNode } from "shoal/cluster";
const node = new ClusterNode(JSON.parse(process.argv[1]));
const say = (what) => console.log(JSON.stringify(what));
for (const type of ["joined", "lost", "back"])
  node.events.on(type, ({ member }) => say({ type, name: member.name.split("@")[0] }));
await node.start();
await node.subscribe("news", ({ data }) => say({ type: "news", name: String(data) })).ready;
say({ type: "ready", address: node.address });
process.stdin.on("data", (text) => {
  if (String(text).startsWith("publish")) void node.publish("news", node.name.split("@")[0], { self: false });
  else say({
    type: "members",
    address: node.address,
    members: node.members({ self: false }).map(({ addresses }) => addresses[0]),
    advertised: node.members({ self: false }).flatMap(({ endpoints }) => endpoints.billing ?? []),
  });
});
`;
const KEY = "01234567890123456789012345678901234567ab";

interface Line {
  readonly type: string;
  readonly name?: string;
  readonly address?: string;
  readonly members?: readonly string[];
  readonly advertised?: readonly string[];
}

class Host {
  readonly child: Child;
  readonly seen: string[] = [];

  constructor(namespace: string, options: object) {
    const node = [process.execPath, "--input-type=module", "--eval", PROGRAM, JSON.stringify(options)];
    this.child = new Child("ip", ["netns", "exec", namespace, ...node], { limit: 60_000 });
  }

  async until(type: string, name?: string): Promise<Line> {
    for (;;) {
      const line = JSON.parse(await this.child.line()) as Line;
      if (line.type !== "members") this.seen.push(`${line.type} ${line.name ?? ""}`.trim());
      if (line.type === type && (name === undefined || line.name === name)) return line;
    }
  }

  /** Has the other one publish until it gets that. */
  async hears(other: Host, name: string): Promise<void> {
    const publishing = setInterval(() => other.child.write("publish"), 200);
    try {
      await this.until("news", name);
    } finally {
      clearInterval(publishing);
    }
  }

  /** Asks until its own address, or that of the other, is as wanted. */
  async untilAddress(holds: (line: Line) => boolean): Promise<void> {
    for (let asked = 0; asked < 200; asked++) {
      this.child.write("?");
      const line = await this.until("members");
      if (holds(line)) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error("the address is not as wanted");
  }
}

/** Starts hosts of one test. @param removed what is gone after them */
function hostsUntil(
  onTestFinished: (ends: () => Promise<void>) => void,
  removed: () => void,
): (namespace: string, options: object) => Host {
  const started: Host[] = [];
  onTestFinished(async () => {
    for (const { child } of started) child.process.kill("SIGKILL");
    await Promise.all(started.map(({ child }) => child.outcome));
    removed();
  });
  return (namespace, options) => {
    const host = new Host(namespace, options);
    started.push(host);
    return host;
  };
}

function ip(line: string): void {
  execFileSync("ip", line.split(" "), { stdio: ["ignore", "ignore", "pipe"], timeout: 10_000 });
}

// Most of the time they wait for a look at the interfaces.
describe.skipIf(missing("networks")).concurrent("a node whose host's network changes", () => {
  it.runIf(LONG)(
    "joins the group of its host when loopback comes up after it was started",
    async ({ onTestFinished }) => {
      const namespace = `shoal-i-${process.pid}`;
      ip(`netns add ${namespace}`);
      const start = hostsUntil(onTestFinished, () => ip(`netns del ${namespace}`));
      const early = start(namespace, { name: "early" });
      await early.until("ready");
      ip(`-n ${namespace} link set lo up`);
      const late = start(namespace, { name: "late" });
      await Promise.all([early.until("joined", "late"), late.until("joined", "early")]);
    },
  );

  it("joins the link when its interface comes up after it was started, and follows its address", async ({
    onTestFinished,
  }) => {
    const networks = new HostNetworks(2);
    const start = hostsUntil(onTestFinished, () => networks.remove());
    const [near, far] = networks.hosts as [string, string];
    ip(`-n ${far} link set eth0 down`);
    const west = start(near, { name: "west", scope: "link", key: KEY });
    const advertise = { billing: "tcp://*:5001" };
    const east = start(far, { name: "east", scope: "link", key: KEY, advertise });
    await west.until("ready");
    expect((await east.until("ready")).address).toMatch(/^127\.0\.0\.1:/);
    ip(`-n ${far} link set eth0 up`);
    await Promise.all([west.until("joined", "east"), east.until("joined", "west")]);
    await west.untilAddress(({ members }) => members?.[0]?.startsWith("10.214.9.2:") === true);
    ip(`-n ${far} addr add 10.214.9.77/24 broadcast 10.214.9.255 dev eth0`);
    ip(`-n ${far} addr del 10.214.9.2/24 dev eth0`);
    ip(`-n ${far} addr replace 10.214.9.77/24 broadcast 10.214.9.255 dev eth0`);
    await west.untilAddress(({ members }) => members?.[0]?.startsWith("10.214.9.77:") === true);
    await west.untilAddress(({ advertised }) => advertised?.[0] === "tcp://10.214.9.77:5001");
    // Its packets arrived all the time.
    expect(west.seen.filter((event) => event.startsWith("lost"))).toEqual([]);
  });

  // The link that was there is given up when nothing has come for two heartbeats.
  it("binds the one interface that it uses again where that has another address", {
    timeout: 60_000,
  }, async ({ onTestFinished }) => {
    const networks = new HostNetworks(2);
    const start = hostsUntil(onTestFinished, () => networks.remove());
    const [near, far] = networks.hosts as [string, string];
    // Not by ipc, which both have.
    const options = { scope: "link", key: KEY, interface: "eth0", messaging: { protocols: ["tcp"] } };
    const west = start(near, { name: "west", ...options });
    const east = start(far, { name: "east", ...options });
    await Promise.all([west.until("joined", "east"), east.until("joined", "west")]);
    await west.hears(east, "east");
    await east.hears(west, "west");
    ip(`-n ${far} addr add 10.214.10.5/23 dev eth0`);
    ip(`-n ${far} addr del 10.214.9.2/24 dev eth0`);
    ip(`-n ${near} addr add 10.214.11.9/23 dev eth0`);
    await east.untilAddress(({ address }) => address?.startsWith("10.214.10.5:") === true);
    await west.untilAddress(({ members }) => members?.[0]?.startsWith("10.214.10.5:") === true);
    // Its listener for messages was bound to the address that is gone.
    await east.hears(west, "west");
  });
});

describe("a process without a descriptor left", () => {
  afterEach(() => setPlatformStandIn(undefined));

  it("cannot start a node, and the error has the system's code", async () => {
    const syscall = "uv_interface_addresses";
    const info = { errno: 24, code: "EMFILE", message: "too many open files", syscall };
    const error = new Error(`A system error occurred: ${syscall} returned EMFILE`);
    const interfaces = (): never => {
      throw Object.assign(error, { code: "ERR_SYSTEM_ERROR", info });
    };
    const platform = { ...MACHINE, interfaces };
    expect(thrown(() => allInterfaces(platform))).toMatchObject({ name: "TransportError", code: "EMFILE" });
    setPlatformStandIn(() => platform);
    const node = new ClusterNode({ name: "full" });
    setPlatformStandIn(undefined);
    await expect(node.start()).rejects.toMatchObject({ code: "EMFILE" });
    await node.close();
  });
});

describe("a node of one interface whose next address is not free", () => {
  afterEach(() => setPlatformStandIn(undefined));

  it("listens again where the interface has its address of before", async () => {
    let address = "127.0.0.2";
    const interfaces = () => [{ name: "eth7", address, internal: false }];
    setPlatformStandIn(() => ({ ...MACHINE, interfaces, interfaces6: () => [] }));
    const node = new ClusterNode({
      scope: "link",
      key: KEY,
      interface: "eth7",
      registry: false,
      multicast: false,
    });
    onTestFinished(() => node.close({ linger: 0 }));
    await node.start();
    const port = Number(node.address.split(":")[1]);
    const isOpen = (): Promise<boolean> =>
      new Promise((resolve) => {
        const socket = connect(port, "127.0.0.2", () => resolve(true)).on("error", () => resolve(false));
        onTestFinished(() => void socket.destroy());
      });
    expect(await isOpen()).toBe(true);
    const other = createServer().listen(port, "127.0.0.3");
    onTestFinished(() => void other.close());
    await once(other, "listening");
    address = "127.0.0.3";
    await vi.waitFor(() => expect(node.stats().dropped.socket).toBeGreaterThan(0), 5_000);
    address = "127.0.0.2";
    await vi.waitFor(async () => expect(await isOpen()).toBe(true), 5_000);
  });
});
