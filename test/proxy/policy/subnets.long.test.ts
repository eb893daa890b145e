/**
 * Two networks that are joined by nothing but a proxy: plain inside, CURVE outside.
 *
 *   inside 10.77.1.2 --veth-- 10.77.1.1 the proxy 10.77.2.1 --veth-- 10.77.2.2, .3 outside
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type CurveKeyPair, curveKeyPair } from "../../../src/index.js";
import { within } from "../../contract/support/wait.js";
import { NO_PYTHON, startPython } from "../../interop/python-peer.js";
import { Child } from "../../process/child.js";
import { missing } from "../../support/peers.js";

const PROGRAM = fileURLToPath(new URL("./subnets.js", import.meta.url));
const [INSIDE, PROXY, OUTSIDE] = ["in", "mid", "out"].map((name) => `shoal-${process.pid}-${name}`) as [
  string,
  string,
  string,
];

const ip = (line: string): Buffer => execFileSync("ip", line.split(" "), { stdio: "pipe", timeout: 10_000 });

function makeNetworks(): void {
  for (const name of [INSIDE, PROXY, OUTSIDE]) {
    ip(`netns add ${name}`);
    ip(`-n ${name} link set lo up`);
  }
  const links = [
    [INSIDE, `si${process.pid}`, "10.77.1", ["2"]],
    [OUTSIDE, `so${process.pid}`, "10.77.2", ["2", "3"]],
  ] as const;
  for (const [name, link, network, hosts] of links) {
    ip(`-n ${PROXY} link add ${link}p type veth peer name ${link} netns ${name}`);
    ip(`-n ${PROXY} addr add ${network}.1/24 dev ${link}p`);
    ip(`-n ${PROXY} link set ${link}p up`);
    for (const host of hosts) ip(`-n ${name} addr add ${network}.${host}/24 dev ${link}`);
    ip(`-n ${name} link set ${link} up`);
  }
}

function removeNetworks(): void {
  for (const name of [INSIDE, PROXY, OUTSIDE]) {
    try {
      ip(`netns del ${name}`);
    } catch {
      // It is not there.
    }
  }
}

describe.skipIf(missing("networks"))("two networks joined only by a proxy", () => {
  const server = curveKeyPair();
  const known = curveKeyPair();
  const children: Child[] = [];
  let keys: string;

  function run(network: string, role: string, options: object): Child {
    const child = new Child("ip", [
      "netns",
      "exec",
      network,
      process.execPath,
      PROGRAM,
      role,
      JSON.stringify(options),
    ]);
    children.push(child);
    return child;
  }

  const secured = (pair: CurveKeyPair) => ({
    curveServerKey: server.publicKey,
    curvePublicKey: pair.publicKey,
    curveSecretKey: pair.secretKey,
  });

  /** A side's statistics. */
  interface Side {
    readonly peers: number;
    readonly refused: Readonly<Record<string, number>>;
  }

  async function joinNetworks(): Promise<{
    until(holds: (frontend: Side, backend: Side) => boolean): Promise<void>;
  }> {
    const proxy = run(PROXY, "proxy", {
      frontend: {
        bind: "tcp://10.77.2.1:5555",
        curveServer: true,
        curveSecretKey: server.secretKey,
        policy: { keys, addresses: { allow: ["10.77.2.0/24"], deny: ["10.77.2.3"] } },
      },
      backend: { bind: "tcp://10.77.1.1:5556", policy: { addresses: { allow: ["10.77.1.0/24"] } } },
    });
    await proxy.heard("ready");
    const worker = run(INSIDE, "worker", { endpoint: "tcp://10.77.1.1:5556" });
    await worker.heard("ready");
    const asked = async (holds: (frontend: Side, backend: Side) => boolean): Promise<void> => {
      for (;;) {
        proxy.tell("stats");
        const { frontend, backend } = JSON.parse(await proxy.line()) as Record<"frontend" | "backend", Side>;
        if (holds(frontend, backend)) return;
      }
    };
    return { until: (holds) => within(asked(holds), "what was expected of the proxy") };
  }

  beforeAll(async () => {
    makeNetworks();
    keys = await mkdtemp(join(tmpdir(), "shoal-subnets-"));
    await writeFile(join(keys, "known"), known.publicKey);
  });

  afterEach(async () => {
    for (const child of children) child.process.kill("SIGKILL");
    await Promise.all(children.splice(0).map(({ outcome }) => outcome));
  });

  afterAll(async () => {
    removeNetworks();
    await rm(keys, { recursive: true, force: true });
  });

  it("a client outside has its answer from inside, by the proxy alone, and only with its key and address", async () => {
    const { until } = await joinNetworks();
    // Nothing else leads there: the same worker's network cannot be reached.
    for (const [network, host] of [
      [OUTSIDE, "10.77.1.2"],
      [OUTSIDE, "10.77.1.1"],
      [INSIDE, "10.77.2.2"],
    ] as const) {
      const direct = run(network, "direct", { host, port: 5556 });
      expect(await direct.line()).toMatch(/^refused: /);
    }
    const client = run(OUTSIDE, "client", {
      endpoint: "tcp://10.77.2.2:0;10.77.2.1:5555",
      ...secured(known),
    });
    await client.heard("ready");
    client.tell("balance?");
    expect(await client.line()).toBe("balance?");

    const stranger = run(OUTSIDE, "client", { endpoint: "tcp://10.77.2.1:5555", ...secured(curveKeyPair()) });
    const elsewhere = run(OUTSIDE, "client", {
      endpoint: "tcp://10.77.2.3:0;10.77.2.1:5555",
      ...secured(known),
    });
    const plain = run(OUTSIDE, "client", { endpoint: "tcp://10.77.2.1:5555" });
    for (const other of [stranger, elsewhere, plain]) {
      await other.heard("ready");
      other.tell("let me in");
    }
    await until(({ refused: { key = 0, address = 0 } }) => key >= 3 && address >= 3);
    // The key that goes ends it for the known one, too; it is let in again when it is back.
    await until(({ peers }) => peers === 1);
    await rm(join(keys, "known"));
    await until(({ peers }) => peers === 0);
    client.tell("still there?");
    await writeFile(join(keys, "known"), known.publicKey);
    expect(await client.line()).toBe("still there?");
  });

  it.skipIf(NO_PYTHON)("pyzmq on both networks", async () => {
    const { until } = await joinNetworks();
    const req = await startPython(["ip", "netns", "exec", OUTSIDE]);
    const rep = await startPython(["ip", "netns", "exec", INSIDE]);
    try {
      const worker = await rep.open("REP");
      const client = await req.open("REQ", {
        CURVE_SERVERKEY: server.publicKey,
        CURVE_PUBLICKEY: known.publicKey,
        CURVE_SECRETKEY: known.secretKey,
      });
      await client.connect("tcp://10.77.2.2:0;10.77.2.1:5555");
      // Both workers are there: the one that came first answers first, then they do in turn.
      await worker.connect("tcp://10.77.1.1:5556");
      await until((_, { peers }) => peers === 2);
      await client.send("one");
      expect((await client.receive()).map(String)).toEqual(["one"]);
      await client.send("two");
      expect((await worker.receive()).map(String)).toEqual(["two"]);
      await worker.send("2");
      expect((await client.receive()).map(String)).toEqual(["2"]);
    } finally {
      await Promise.all([req.stop(), rep.stop()]);
    }
  });
});
