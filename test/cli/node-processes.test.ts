/** Nodes as a user starts them: they find each other, are killed, stopped, removed, and cut off. As processes where that is the point. */
import { chmodSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { missing } from "../support/peers.js";
import { run } from "./in-process.js";
import { HostNetworks, type NodeLine, NodeProcess, NodeRun } from "./nodes.js";
import { file, ipc, useShoal } from "./support.js";

useShoal();

let clusters = 0;
/** A cluster of this test alone. */
const group = (): string[] => ["--group", `test-${process.pid}-${++clusters}`];

const start = (name: string, args: readonly string[]): NodeRun => NodeRun.start(name, args);
const spawn = (name: string, args: readonly string[]): NodeProcess => new NodeProcess(name, args);

describe("shoal node start", () => {
  it("two that are started find each other, and none of another cluster; one that leaves is said to have left, and exits with 0", async () => {
    const cluster = group();
    const a = start("a", [...cluster, "--tag", "x", "--prop", "version=2.1"]);
    await a.ready();
    const stranger = start("stranger", group());
    await stranger.ready();
    const b = start("b", cluster);
    await Promise.all([a.untilSees("b"), b.untilSees("a")]);
    expect(stranger.sees).toEqual([]);
    for (const node of [a, b]) expect(node.lines[0]).toMatchObject({ event: "ready", name: node.name });
    b.signal("SIGTERM");
    expect((await b.ended).code).toBe(0);
    await a.untilSaid("left", "b");
    expect(a.eventsOf("b")).toEqual(["joined", "left"]);
    a.signal("SIGINT");
    expect((await a.ended).code).toBe(0);
  });

  it("a late one has every member right after its ready, each once", async () => {
    const cluster = group();
    const early = ["a", "b", "c"].map((name) => start(name, cluster));
    await Promise.all(
      early.map((node) => node.untilSees(...["a", "b", "c"].filter((name) => name !== node.name))),
    );
    const late = start("late", cluster);
    await late.untilSees("a", "b", "c");
    const [first, ...others] = late.lines.slice(0, 4);
    expect(first).toMatchObject({ event: "ready", name: "late" });
    expect(others.map(({ event, name }) => `${event} ${name}`).sort()).toEqual([
      "joined a",
      "joined b",
      "joined c",
    ]);
  });

  it("with --discovery finds others at the addresses of its sources", async () => {
    const cluster = group();
    const a = start("a", cluster);
    await a.ready();
    const address = String(a.lines[0]?.address);
    const b = start("b", [
      ...cluster,
      "--discovery",
      "static:127.0.0.1:9",
      "--discovery",
      `static:${address}`,
    ]);
    await Promise.all([a.untilSees("b"), b.untilSees("a")]);
    b.signal("SIGTERM");
    const { code, stderr } = await b.ended;
    expect(code).toBe(0);
    expect(String(stderr)).toMatch(/discovery by static is up\n/);
  });

  it("one that is killed is lost to the others, and found again when it is started again", async () => {
    const cluster = group();
    const [a, b] = [start("a", cluster), start("b", cluster)];
    // A process whose input has ended: that ends nothing.
    const c = spawn("c", cluster);
    await Promise.all([a.untilSees("b", "c"), b.untilSees("a", "c"), c.untilSees("a", "b")]);
    c.kill();
    await Promise.all([a.untilSaid("lost", "c"), b.untilSaid("lost", "c")]);
    expect(a.lines.find(({ event }) => event === "lost")?.reason).toEqual(expect.any(String));
    const again = start("c", cluster);
    await Promise.all([a.untilSees("b", "c"), b.untilSees("a", "c"), again.untilSees("a", "b")]);
    expect(a.eventsOf("c")).not.toContain("conflict");
  });

  it("a removed node is out, although it lives, and learns of it", async () => {
    const cluster = group();
    const control = ipc();
    const a = start("a", [...cluster, "--control", control]);
    const [b, c] = ["b", "c"].map((name) => start(name, cluster)) as [NodeRun, NodeRun];
    await Promise.all([a.untilSees("b", "c"), b.untilSees("a", "c"), c.untilSees("a", "b")]);
    expect(await run("", "node", "remove", "c", "--control", control)).toMatchObject({ code: 0 });
    await Promise.all([a, b, c].map((node) => node.untilSaid("removed", "c")));
    expect([a.sees, b.sees]).toEqual([["b"], ["a"]]);
    const unknown = await run("", "node", "remove", "nobody", "--control", control);
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringMatching(/nobody/) });
  });

  it("two of one name: both sides say so", async () => {
    const cluster = group();
    const first = start("twin", cluster);
    await first.ready();
    const second = start("twin", cluster);
    await Promise.all([first.untilSaid("conflict", "twin"), second.untilSaid("conflict", "twin")]);
  });

  it("nodes with a key and nodes without one, or with another, do not meet", async () => {
    const cluster = group();
    const key = (text: string): string => {
      const path = file();
      writeFileSync(path, `${text}\n`);
      chmodSync(path, 0o600);
      return path;
    };
    const good = ["--key", key("rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7")];
    const other = ["--key", key("JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6")];
    const [a, b] = ["a", "b"].map((name) => start(name, [...cluster, ...good])) as [NodeRun, NodeRun];
    const [stranger, open] = [start("stranger", [...cluster, ...other]), start("open", cluster)];
    await Promise.all([a.untilSees("b"), b.untilSees("a"), stranger.ready(), open.ready()]);
    // Once the third with the key is there, the others had as much time as it had.
    const c = start("c", [...cluster, ...good]);
    await Promise.all([a.untilSees("b", "c"), c.untilSees("a", "b")]);
    expect([stranger.sees, open.sees]).toEqual([[], []]);
  });
});

describe.skipIf(missing("networks"))("nodes on hosts of their own", () => {
  let networks: HostNetworks;
  let nodes: NodeProcess[] = [];
  beforeAll(() => {
    networks = new HostNetworks(2);
  });
  afterEach(async () => {
    for (const node of nodes) node.kill();
    await Promise.all(nodes.map(({ ended }) => ended));
  });
  afterAll(() => networks.remove());

  it("are ZRE peers with --zre, without a key: groups, and the end of one", async () => {
    const controls = [ipc(), ipc()];
    nodes = ["north", "south"].map(
      (name, host) =>
        new NodeProcess(
          name,
          ["--zre", "--group", `${name}-room`, "--interface", "eth0", "--control", controls[host] as string],
          networks.hosts[host] as string,
        ),
    );
    const [north, south] = nodes as [NodeProcess, NodeProcess];
    const inRoom = (name: string) => (lines: readonly NodeLine[]) =>
      lines.some((line) => line.event === "joined" && line.name === name && line.group === `${name}-room`);
    await Promise.all([north.untilLines(inRoom("south")), south.untilLines(inRoom("north"))]);
    expect([north.sees, south.sees]).toEqual([["south"], ["north"]]);
    expect(north.lines[0]).toMatchObject({ event: "ready", name: "north" });

    south.signal("SIGTERM");
    expect((await south.ended).code).toBe(0);
    await north.untilSees();
  });
});
