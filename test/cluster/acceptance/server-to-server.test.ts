/**
 * Communication between servers: nodes link to each other by one list that all of them have, or over a request to a web server, and
 * talk by topics and one to one. No server is in the middle of it.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import {
  broadcastSource,
  type ClusterMessage,
  type ClusterNode,
  ConnectionManager,
} from "../../../src/cluster/index.js";
import { acceptLinks } from "../../../src/link/index.js";
import { simulate } from "../../../src/testing/index.js";
import { listening } from "../../support/listening.js";
import { testNodes, together } from "../nodes.js";
import { onOneHost, SETTLED, startNodes } from "../simulated.js";

const NAMES = ["a", "b", "c"];

describe("a connection manager", () => {
  const LIST = ["a:1900", "b:1900", "c:1900"];
  const options = { port: 1900, multicast: false } as const;

  test("connects nodes by the same list on each, which find themselves in it, and again when one was away", () =>
    simulate({ seed: 1 }, async (world) => {
      const managers = new Map<string, ConnectionManager>();
      const start = async (...names: string[]): Promise<void> => {
        for (const [name, node] of await startNodes(world, names, options))
          await world.node(name).run(() => {
            const manager = new ConnectionManager(node, { port: 1900 });
            manager.setList(["a", "b", "c"]);
            managers.set(name, manager);
          });
      };
      const states = (name: string): string[] =>
        managers
          .get(name)
          ?.status()
          .map(({ address, state }) => `${address} ${state}`) ?? [];

      await start(...NAMES);
      await world.until(() => states("a").join() === "a:1900 self,b:1900 connected,c:1900 connected", 3_000);
      await world.until(() => states("c").join() === "a:1900 connected,b:1900 connected,c:1900 self", 3_000);
      const [self, other] = managers.get("a")?.status() ?? [];
      expect(self).toMatchObject({ member: undefined, error: undefined, attempts: 0 });
      expect(other?.member?.name).toBe("b@b");

      world.node("b").kill();
      await world.until(() => states("a")[1] === "b:1900 broken", 3_000);
      await start("b");
      await world.until(() => states("a")[1] === "b:1900 connected", 15_000);
    }));

  test("leaves what is connected as it is when it is shut down", () =>
    simulate({ seed: 1 }, async (world) => {
      const nodes = await startNodes(world, NAMES, options);
      const a = nodes.get("a") as ClusterNode;
      const manager = await world.node("a").run(() => new ConnectionManager(a));
      await world.node("a").run(() => manager.setList(LIST));
      await world.until(() => a.members().length === 3, 5_000);
      await world.node("a").run(() => manager.shutdown());
      await world.advance(60_000);
      expect(a.members().length).toBe(3);
      expect(() => manager.add("d:1900")).toThrow(expect.objectContaining({ code: "EBADF" }));
    }));

  test("needs no list where nodes call their network's broadcast address", () =>
    simulate({ seed: 1 }, async (world) => {
      const nodes = await startNodes(world, NAMES, {
        multicast: false,
        discovery: [broadcastSource({ port: 1901, interval: 5_000 })],
      });
      await world.until(() => [...nodes.values()].every((node) => node.members().length === 3), 15_000);
    }));
});

describe("a link that begins as an HTTP request", () => {
  const { started } = testNodes(() => ({ multicast: false, registry: false, password: "cluster password" }));

  test("may be asked for with the header SMQ: CLUSTER, which the page answers with 204", async () => {
    const server = await started("server", { announce: "127.0.0.1:1" });
    const client = await started("client", { announce: "127.0.0.1:2" });
    // A web server, one page of which leads into the node's cluster.
    const web = createServer((_, response) => response.writeHead(404).end());
    acceptLinks(web, (stream) => server.link(stream), { path: "/cluster/page.lsp" });
    const socket = connect(await listening(web), "127.0.0.1");
    socket.write("GET /cluster/page.lsp HTTP/1.1\r\nHost: server\r\nSMQ: CLUSTER\r\n\r\n");
    await once(socket, "readable");
    const answer = "HTTP/1.1 204 No Content\r\n\r\n";
    expect(String(socket.read(answer.length))).toBe(answer);
    await client.link(socket);
    await together(2, server, client);
  });
});

describe("messages", () => {
  /** Prints as the program below: data, whether it is from itself, topic, subtopic. */
  function program(node: ClusterNode): string[] {
    const printed: string[] = [];
    const print = ({ data, sender, topic, subtopic }: ClusterMessage): void => {
      printed.push(`${data} | ${sender.node === node.id ? "self" : "other"} ${topic} ${subtopic ?? "-"}`);
    };
    const onPing = (message: ClusterMessage): void => {
      print(message);
      void node.sendTo(message.sender, "I am good, thanks!", { subtopic: "pong" });
    };
    node.subscribe("ping", onPing);
    node.subscribe("self", { subtopic: "ping" }, onPing);
    node.subscribe("self", { subtopic: "pong" }, print);
    return printed;
  }

  test("to a topic: publish has the number of nodes, and each answers its sender alone", () =>
    onOneHost(["a", "b", "c"], async ({ a, b, c }, world) => {
      const [first, second] = [a, b, c].map(program) as [string[], string[]];
      await world.advance(SETTLED);
      expect(await a.publish("ping", "How are you?")).toBe(3);
      await world.advance(SETTLED);
      expect(first.sort()).toEqual([
        "How are you? | self ping -",
        "I am good, thanks! | other self pong",
        "I am good, thanks! | other self pong",
        "I am good, thanks! | self self pong",
      ]);
      expect(second).toEqual(["How are you? | other ping -"]);
      expect(await a.publish("ping", "Nobody else?", { self: false })).toBe(2);
      expect(await a.publish("nobody/reads", "this")).toBe(0);
    }));

  test("to the other nodes, without this one", () =>
    onOneHost(["a", "b", "c"], async ({ a, b, c }, world) => {
      const [first, second] = [a, b, c].map(program) as [string[], string[]];
      expect(await a.sendToNodes("How are you?", { subtopic: "ping" })).toBe(2);
      await world.advance(SETTLED);
      expect(second).toEqual(["How are you? | other self ping"]);
      expect(first).toEqual(Array(2).fill("I am good, thanks! | other self pong"));
    }));

  test("on behalf of another client of the node, which gets the answers", () =>
    onOneHost(["a", "b"], async ({ a, b }, world) => {
      const printed = program(b);
      const sensor = a.createClient("sensor");
      const answers: string[] = [];
      sensor.subscribe("self", ({ data, subtopic }) => void answers.push(`${data} | ${subtopic}`));
      await world.advance(SETTLED);
      expect(await a.publishAs(sensor.address, "ping", "Are you there?")).toBe(1);
      await world.advance(SETTLED);
      expect([printed, answers]).toEqual([["Are you there? | other ping -"], ["I am good, thanks! | pong"]]);
      await expect(a.publishAs(a.addressOf("b"), "ping", "x")).rejects.toMatchObject({ code: "EINVAL" });
    }));

  test("of several brokers over the same connections, each with members and topics of its own", () =>
    onOneHost(["a", "b", "c"], async ({ a, b, c }, world) => {
      const [sales, stock] = [a, b].map((node, i) => node.namespace("sales", { tags: [`sales-${i}`] }));
      await world.until(() => sales?.members().length === 2, 10_000);
      const heard: string[] = [];
      stock?.subscribe("ping", ({ data }) => void heard.push(`sales ${data}`));
      c.subscribe("ping", ({ data }) => void heard.push(`default ${data}`));
      await world.advance(SETTLED);
      expect([await sales?.publish("ping", "1"), await a.publish("ping", "2")]).toEqual([1, 1]);
      await world.advance(SETTLED);
      expect(heard.sort()).toEqual(["default 2", "sales 1"]);
      expect([sales?.resolve("sales-1").length, a.resolve("sales-1").length]).toEqual([1, 0]);
      await stock?.leave();
      await world.until(() => sales?.members().length === 1, 1_000);
      await world.advance(SETTLED);
      expect(a.members().length).toBe(3);
    }));
});
