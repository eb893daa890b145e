/** `--connect cluster:NAME` as an operator uses it: commands that find what nodes advertise. */
import { describe, expect, it } from "vitest";
import { Publisher } from "../../src/index.js";
import { EspressoTap } from "../../src/patterns/espresso/index.js";
import { until } from "../contract/support/wait.js";
import { type Command, fails, run, startWithout } from "./in-process.js";
import { NodeRun, newCluster } from "./nodes.js";
import { useFolder, written } from "./support.js";

useFolder();

let nodes = 0;

function start(cluster: string, ...args: string[]): NodeRun {
  return NodeRun.start(`work-${++nodes}`, ["--cluster", cluster, "--no-control", ...args]);
}

/** A puller on a port that the system chooses. */
async function pull(count: number): Promise<{ child: Command; endpoint: string }> {
  const child = startWithout("pull", "--bind", "tcp://127.0.0.1:*", "--count", String(count));
  const endpoint = await child.endpoint();
  return { child, endpoint };
}

describe("--connect cluster:NAME", () => {
  it("reaches what a node advertises, and leaves the cluster at its end", async () => {
    const cluster = newCluster();
    const { child, endpoint } = await pull(3);
    const node = start(cluster, "--advertise", `billing=${endpoint}`);
    await node.ready();
    const args = ["push", "--connect", "cluster:billing", "--cluster-name", cluster];
    expect(await run("a\nb\nc\n", ...args)).toMatchObject({ code: 0, stderr: "" });
    await child.prints("a\nb\nc\n");
    const name = (): string => node.lines.find(({ name }) => name.startsWith("shoal-push-"))?.name ?? "";
    await node.untilSaid("left", name());
    expect(node.eventsOf(name())).toEqual(["joined", "left"]);
  });

  it("reaches a cluster with a password, and needs it", async () => {
    const cluster = newCluster();
    const password = written("correct horse battery\n");
    const { child, endpoint } = await pull(1);
    const node = start(cluster, "--password-file", password, "--advertise", `billing=${endpoint}`);
    await node.ready();
    const args = ["push", "--connect", "cluster:billing", "--cluster-name", cluster];
    expect(await run("a\n", ...args, "--timeout", "500")).toMatchObject({ code: 1 });
    const given = ["--cluster-password-file", password];
    expect(await run("a\n", ...args, ...given)).toMatchObject({ code: 0, stderr: "" });
    expect((await child.ended).code).toBe(0);
    const both = [...args, ...given, "--cluster-key", password];
    await fails(2, "--cluster-key or --cluster-password-file, not both", both, "a\n");
  });

  it("is what a cache of last values and a tap connect to, too", async () => {
    const cluster = newCluster();
    await using publisher = new Publisher();
    await using capture = new EspressoTap();
    const feed = await publisher.bind("tcp://127.0.0.1:*");
    const tapped = await capture.bind("tcp://127.0.0.1:*");
    const node = start(cluster, "--advertise", `feed=${feed}`, "--advertise", `capture=${tapped}`);
    await node.ready();
    const at = (name: string): string[] => ["--connect", `cluster:${name}`, "--cluster-name", cluster];
    const cache = startWithout("lvc", ...at("feed"), "--backend", "tcp://127.0.0.1:*");
    const [, backend] = await cache.until("stderr", /listening at (\S+) for subscribers/);
    const sub = startWithout("sub", "--connect", backend as string, "--count", "1");
    await publisher.waitForSubscribers();
    await publisher.send(["rain", "Oslo"]);
    expect(await sub.ended).toMatchObject({ code: 0, stdout: Buffer.from("rain Oslo\n") });
    const tap = startWithout("tap", ...at("capture"), "--count", "1");
    await until(() => capture.stats().subscriptions > 0, "the command's subscription");
    capture.capture("frontend", [Buffer.from("sun"), Buffer.from("Rome")]);
    expect((await tap.ended).code).toBe(0);
    expect(String(tap.stdout)).toMatch(/ frontend 7 sun Rome\n$/);
    await cache.stop();
    await Promise.all(["lvc", "tap"].map((name) => node.untilSaid("left", `shoal-${name}-${process.pid}`)));
  });

  it("is one side of a proxy, which advertises the other one in a cluster of its own", async () => {
    const [inside, outside] = [newCluster(), newCluster()];
    await using publisher = new Publisher();
    const feed = await publisher.bind("tcp://127.0.0.1:*");
    const node = start(inside, "--advertise", `prices=${feed}`);
    await node.ready();
    const frontend = ["--frontend-connect", "cluster:prices", "--frontend-cluster-name", inside];
    const backend = ["--backend", "tcp://127.0.0.1:*", "--backend-advertise", "prices"];
    const name = ["--backend-cluster-name", outside];
    const edge = startWithout("proxy", "forwarder", ...frontend, ...backend, ...name, "--json");
    const one = ["--subscribe", "price", "--count", "1"];
    const sub = startWithout("sub", ...one, "--connect", "cluster:prices", "--cluster-name", outside);
    await publisher.waitForSubscribers({ topic: "price" });
    await publisher.send(["wage", "4000"]);
    await publisher.send(["price", "12"]);
    expect(await sub.ended).toMatchObject({ code: 0, stdout: Buffer.from("price 12\n") });
    const { stdout } = await edge.stop();
    expect(JSON.parse(String(stdout)).frontend.in.messages).toBe(1); // The wage stayed inside.
    await node.untilSaid("left", `shoal-proxy-frontend-${process.pid}`);
  });

  it("is where clone's commands find their server, before it is there and after it went", async () => {
    const cluster = newCluster();
    const at = ["--connect", "cluster:map", "--cluster-name", cluster];
    const clone = (command: string, ...args: string[]) => run("", "clone", command, ...args, ...at);
    const setting = clone("set", "/eel", "12");
    const server = startWithout("clone", "server", "--bind", "tcp://127.0.0.1:*");
    const endpoint = await server.endpoint();
    const node = start(cluster, "--advertise", `map=${endpoint}`);
    expect(await setting).toMatchObject({ code: 0, stderr: "" });
    expect(String((await clone("get", "/eel")).stdout)).toBe("12\n");
    await node.untilSaid("left", `shoal-clone-get-${process.pid}`);
    node.signal("SIGTERM");
    await node.ended;
    const late = ["clone", "get", "/eel", "-q", "--timeout", "500", ...at];
    await fails(1, "no server sent its map within 500 ms", late);
  });

  it("finds the cluster by sources of discovery, which have to be valid", async () => {
    const cluster = newCluster();
    const { child, endpoint } = await pull(1);
    const node = start(cluster, "--advertise", `billing=${endpoint}`);
    await node.ready();
    const args = ["push", "--connect", "cluster:billing", "--cluster-name", cluster, "--cluster-discovery"];
    await fails(2, "statik", [...args, "statik:127.0.0.1:1"]);
    const source = `static:${node.lines[0]?.address}`;
    expect(await run("a\n", ...args, source)).toMatchObject({ code: 0, stderr: "" });
    expect((await child.ended).code).toBe(0);
  });

  it("says what is missing, with the nearest name", async () => {
    const cluster = newCluster();
    const node = start(cluster, "--advertise", "billing=tcp://127.0.0.1:9");
    await node.ready();
    const args = ["push", "--connect", "cluster:bilings", "--cluster-name", cluster, "--timeout", "3500"];
    const { code, stderr } = await run("a\n", ...args);
    expect(code).toBe(1);
    expect(stderr).toContain(
      `no member of the cluster ${cluster} advertises bilings yet; did you mean billing?`,
    );
  });

  it("is bad usage where it is misspelt, or its options have no cluster", async () => {
    const pair = "--frontend tcp://127.0.0.1:* --backend tcp://127.0.0.1:*";
    for (const [args, why] of [
      ["push --connect cluster:", "cluster:: expected cluster:NAME"],
      ["push --connect cluster://billing", "cluster://billing: expected cluster:NAME"],
      ["pull --bind cluster:billing", 'Endpoint "cluster:billing"'],
      ["majordomo call a --connect cluster:a=b", "cluster:a=b: expected cluster:NAME"],
      ["sub --connect tcp://a:9 --cluster-name x", "--cluster-name needs --connect cluster:NAME"],
      ["req --connect tcp://a:9 --cluster-key x", "--cluster-key needs --connect cluster:NAME"],
      [`lvc ${pair} --cluster-discovery x`, "--cluster-discovery needs --connect cluster:NAME"],
      ["node start --name a --advertise billing", "--advertise expects NAME=EP"],
      ["node start --name a --advertise b=inproc://a", "tcp://HOST:PORT, tls://HOST:PORT or ipc://PATH"],
      [
        `proxy queue ${pair} --frontend-cluster-name x`,
        "--frontend-cluster-name needs --frontend-advertise NAME or --frontend-connect cluster:NAME",
      ],
      [`proxy queue ${pair} --backend-advertise a=b`, "a=b"],
    ] as const) {
      await fails(2, why, args.split(" "));
    }
  });
});
