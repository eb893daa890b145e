/** Nodes that reach each other over a stream alone that their programs hand in: in virtual time, but for one over HTTP. */
import { once } from "node:events";
import { createServer } from "node:http";
import { Duplex, duplexPair, PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { ClusterNode, type ClusterNodeOptions } from "../../src/cluster/index.js";
import { acceptLinks, dialLink } from "../../src/link/index.js";
import { until } from "../contract/support/wait.js";
import { testNodes, webServers } from "./nodes.js";
import { hostTest as it, started } from "./simulated.js";

const PASSWORD = "correct horse battery staple";
const OPTIONS = { cluster: "linked", multicast: false, registry: false, password: PASSWORD } as const;
const { started: startedHere } = testNodes(() => OPTIONS);
const listen = webServers();

/** A node that nobody reaches where it says that it is. */
const hidden = (name: string, port: number, options: ClusterNodeOptions = {}): Promise<ClusterNode> =>
  started(name, { ...OPTIONS, announce: `127.0.0.1:${port}`, ...options });

/** Two of them, and the end of their stream that the first one has. */
async function pair(): Promise<{ a: ClusterNode; b: ClusterNode; here: Duplex }> {
  const [a, b] = [await hidden("a", 1), await hidden("b", 2)];
  const [here, there] = duplexPair();
  await Promise.all([a.link(here), b.link(there)]);
  return { a, b, here };
}

const isTogether = (...all: ClusterNode[]): boolean =>
  all.every((node) => node.resolve().length === all.length);
const together = (...all: ClusterNode[]): Promise<void> => until(() => isTogether(...all), "all members");

/** Messages of both forms both ways. */
async function talk(a: ClusterNode, b: ClusterNode): Promise<void> {
  const got: string[] = [];
  const subscription = b.subscribe("news/#", ({ data }) => void got.push(String(data)));
  await subscription.ready;
  await a.publish("news/1", "soup");
  await until(() => got.length > 0, "the soup");
  expect(got).toEqual(["soup"]);
  subscription.close();
  const service = a.serve("double", (body: number) => body * 2);
  expect(await b.request("double", 21, { waitForReady: true })).toBe(42);
  await service.close();
}

/** As docs/clusters.md shows it: dials again when the stream has closed. @returns stops it */
function redialled(
  node: ClusterNode,
  dial: () => Duplex | Promise<Duplex>,
  onFailed: (error: unknown) => void = () => undefined,
): () => void {
  let isOver = false;
  const run = async (): Promise<void> => {
    while (!isOver && !node.closed) {
      try {
        const stream = await dial();
        const closed = new Promise((resolve) => stream.once("close", resolve));
        await node.link(stream);
        await closed;
      } catch (error) {
        onFailed(error);
      }
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  };
  void run();
  return () => {
    isOver = true;
  };
}

it("two nodes with a stream probe each other over it, and not by datagrams", async () => {
  const { a, b } = await pair();
  await together(a, b);
  const lost: unknown[] = [];
  for (const node of [a, b]) node.events.on("lost", (event) => lost.push(event));
  const packets = (): number[] => [a, b].map((node) => node.stats().packetsSent);
  const before = packets();
  const probes = [a, b].map((node) => node.stats().probes);
  await until(() => [a, b].every((node, i) => node.stats().probes > (probes[i] as number) + 3), "probes");
  expect([lost, isTogether(a, b)]).toEqual([[], true]);
  expect(packets()).toEqual(before);
});

it("a node closes though a program's stream throws when it is ended", async () => {
  const [a, b] = [await hidden("a", 1), await hidden("b", 2)];
  const [here, there] = duplexPair();
  here.end = () => {
    throw new Error("no end today");
  };
  await Promise.all([a.link(here), b.link(there)]);
  await together(a, b);
  await a.close();
  expect(here.destroyed).toBe(true);
});

it("a program's stream that throws when it is written to ends its link, and no process", async () => {
  const { a, b, here } = await pair();
  await together(a, b);
  const lost = new Promise((resolve) => b.events.once("lost", resolve));
  here._write = here._writev = () => {
    throw new Error("unplugged");
  };
  await a.publish("news", "x");
  await new Promise((resolve) => here.once("close", resolve));
  expect(await lost).toMatchObject({ member: { name: a.self.name } });
});

test("a link is kept: dialled again when its stream breaks and when nobody answers, until it is stopped", {
  timeout: 60_000,
}, async () => {
  const [a, b] = [
    await startedHere("a", { announce: "127.0.0.1:1" }),
    await startedHere("b", { announce: "127.0.0.1:2" }),
  ];
  const streams: Duplex[] = [];
  const server = createServer((_, response) => response.end("a web page"));
  const onStream = (stream: Duplex): Promise<unknown> => {
    streams.push(stream);
    return a.link(stream);
  };
  acceptLinks(server, onStream, { path: "/cluster" });
  const url = `http://${await listen(server)}/cluster`;
  let dials = 0;
  let where = "http://127.0.0.1:1/cluster";
  const failures = new Set<unknown>();
  const dial = (): Promise<Duplex> => {
    dials += 1;
    return dialLink(where);
  };
  const stop = redialled(b, dial, (error) => failures.add((error as { code?: string }).code));
  await until(() => dials > 2, "three dials");
  where = url;
  await together(a, b);
  expect([...failures]).toEqual(["ECONNREFUSED"]);
  streams[0]?.destroy();
  await until(() => streams.length === 2, "the second stream");
  await together(a, b);
  await talk(a, b);
  stop();
  const before = dials;
  const lost = new Promise((resolve) => b.events.once("lost", resolve));
  streams[1]?.destroy();
  await lost;
  expect([dials, failures.size]).toEqual([before, 1]);
});

it("three nodes in a row know each other, though two of them have no stream", async () => {
  const { a, b } = await pair();
  const c = await hidden("c", 3);
  const [bc, cb] = duplexPair();
  await Promise.all([b.link(bc), c.link(cb)]);
  await together(a, b, c);
});

it("a stream that falls silent is closed, so that its program dials again", async () => {
  const messaging = { heartbeat: 100 };
  const [a, b] = [await hidden("a", 1, { messaging }), await hidden("b", 2, { messaging })];
  let isSilent = false;
  let dials = 0;
  redialled(b, () => {
    dials += 1;
    const [[mine, near], [far, its]] = [duplexPair(), duplexPair()];
    const isFirst = !isSilent;
    const pass = (from: Duplex, to: Duplex): void =>
      void from.on("data", (bytes) => (isSilent && isFirst ? undefined : to.write(bytes)));
    pass(near, far);
    pass(far, near);
    a.link(its).catch(() => undefined);
    return mine;
  });
  await together(a, b);
  await talk(a, b);
  isSilent = true;
  await b.sendToNodes("lost in the tunnel");
  await until(() => dials > 1, "the second stream");
  await together(a, b);
  await talk(b, a);
});

it("of two nodes with one address the one that is linked second is refused, until the first one is gone", async () => {
  const shop = await hidden("shop", 1);
  const [first, second] = [await hidden("first", 2), await hidden("second", 2)];
  const lost: string[] = [];
  shop.events.on("lost", ({ member }) => lost.push(member.name));
  const [toFirst, fromFirst] = duplexPair();
  await Promise.all([shop.link(toFirst), first.link(fromFirst)]);
  await together(shop, first);
  const refused = new Promise((resolve) => shop.events.once("refused", resolve));
  let dials = 0;
  redialled(second, () => {
    dials += 1;
    const [here, there] = duplexPair();
    shop.link(there).catch(() => undefined);
    return here;
  });
  expect(await refused).toMatchObject({ reason: "address" });
  await until(() => dials > 1, "a stream after the closed one");
  await talk(shop, first);
  expect([lost, isTogether(shop, first)]).toEqual([[], true]);
  await first.close();
  await together(shop, second);
  await talk(shop, second);
});

it("a node that has closed ends a stream that was dialled meanwhile", async () => {
  const node = await hidden("a", 1);
  await node.close();
  const [here] = duplexPair();
  await expect(node.link(here)).rejects.toMatchObject({ code: "EBADF" });
  expect(here.destroyed).toBe(true);
  await expect(node.link(undefined as never)).rejects.toMatchObject({ code: "EBADF" });
});

it("what is handed in has to be a stream, and a stream of a node of this cluster", async () => {
  const a = await hidden("a", 1);
  for (const none of [{}, { on: () => undefined, write: () => undefined }])
    await expect(a.link(none as never)).rejects.toMatchObject({ code: "EINVAL" });
  const echo = new PassThrough();
  await expect(a.link(echo)).rejects.toMatchObject({ code: "ERR_HANDSHAKE" });
  expect(echo.destroyed).toBe(true);
  const throwing = new Duplex({
    read: () => undefined,
    write: () => {
      throw new Error("unplugged");
    },
  });
  await expect(a.link(throwing)).rejects.toMatchObject({ code: "ERR_TRANSPORT", message: "unplugged" });
  expect([throwing.destroyed, a.stats().links]).toEqual([true, 0]);
  const [here, there] = duplexPair();
  there.write("GET / HTTP/1.1\r\n\r\n and more of what is no hello of a node at all");
  await expect(a.link(here)).rejects.toMatchObject({ code: "ERR_HANDSHAKE" });
  expect(here.destroyed).toBe(true);
  const [open, other] = duplexPair();
  const linked = a.link(open);
  linked.catch(() => undefined);
  other.destroy();
  open.destroy();
  await expect(linked).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  const [one, same] = duplexPair();
  await expect(Promise.all([a.link(one), a.link(same)])).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  await a.close();
  await expect(a.link(duplexPair()[0])).rejects.toMatchObject({ code: "EBADF" });
  const idle = new ClusterNode({ multicast: false });
  await expect(idle.link(duplexPair()[0])).rejects.toMatchObject({ code: "EFSM" });
  await idle.close();
});

it("a stream that is given before, is over, or is not of bytes is refused at once, and a standing one stays", async () => {
  const { a, b, here } = await pair();
  await expect(a.link(here)).rejects.toMatchObject({ code: "EINVAL" });
  await together(a, b);
  const text = duplexPair()[0].setEncoding("utf8");
  await expect(a.link(text)).rejects.toMatchObject({ code: "EINVAL" });
  const objects = new Duplex({ objectMode: true, read: () => undefined });
  await expect(a.link(objects)).rejects.toMatchObject({ code: "EINVAL" });
  const [over, other] = duplexPair();
  other.end();
  await once(over.resume(), "end");
  await expect(a.link(over)).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  const silent = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  const linked = expect(a.link(silent)).rejects.toMatchObject({ code: "ERR_TRANSPORT" });
  await a.close();
  expect([over.destroyed, silent.destroyed]).toEqual([true, true]);
  await linked;
});
