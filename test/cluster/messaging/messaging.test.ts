import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ClusterMessage } from "../../../src/cluster/messaging/message.js";
import { type FakeNode, FakeWorld } from "./messaging-world.js";

let world: FakeWorld;
beforeEach(() => {
  world = new FakeWorld();
});
afterEach(() => world.close());

/** A line as the seed prints it: data, sender, topic, subtopic. */
type Line = readonly [string, string, number, number];

/** The three programs of the example: `ping` by topic or to all nodes, `pong` to the sender. */
function example(pingTo: "topic" | "nodes"): { nodes: FakeNode[]; lines: Line[][] } {
  const nodes = ["a", "b", "c"].map((name) => world.node(name));
  const lines = nodes.map(({ messaging }) => {
    const printed: Line[] = [];
    const { self } = messaging;
    messaging.topics.create("ping", 2);
    messaging.subtopics.create("ping", 3);
    messaging.subtopics.create("pong", 4);
    const print = ({ data, sender, topicId, subtopicId }: ClusterMessage): void => {
      printed.push([String(data), sender.id === 1 ? "self" : "alias", topicId, subtopicId]);
    };
    const onPing = (message: ClusterMessage): void => {
      print(message);
      void self.sendTo(message.sender, "I am good, thanks!", { subtopic: "pong" });
    };
    if (pingTo === "topic") self.subscribe("ping", onPing);
    else self.subscribe("self", { subtopic: "ping" }, onPing);
    self.subscribe("self", { subtopic: "pong" }, print);
    return printed;
  });
  return { nodes, lines };
}

describe("the example of server-to-server communication", () => {
  test("with itself: a ping by topic reaches three nodes, and three pongs come back to the sender", async () => {
    const { nodes, lines } = example("topic");
    expect(await nodes[0]?.messaging.self.publish(2, "How are you?")).toBe(3);
    await world.settle();
    expect(lines[0]?.toSorted()).toEqual([
      ["How are you?", "self", 2, 0],
      ["I am good, thanks!", "alias", 1, 4],
      ["I am good, thanks!", "alias", 1, 4],
      ["I am good, thanks!", "self", 1, 4],
    ]);
    expect(lines[1]).toEqual([["How are you?", "alias", 2, 0]]);
  });

  test("without itself: a ping to the own client of every other node", async () => {
    const { nodes, lines } = example("nodes");
    expect(await nodes[0]?.messaging.self.sendToNodes("How are you?", { subtopic: 3 })).toBe(2);
    await world.settle();
    expect(lines[0]).toEqual([
      ["I am good, thanks!", "alias", 1, 4],
      ["I am good, thanks!", "alias", 1, 4],
    ]);
    expect(lines[1]).toEqual([["How are you?", "alias", 1, 3]]);
    expect(lines[2]).toEqual([["How are you?", "alias", 1, 3]]);
  });

  test("each of three publishes: every node prints what the first printout has", async () => {
    const { nodes, lines } = example("topic");
    for (const { messaging } of nodes) await messaging.self.publish("ping", "How are you?");
    await world.settle();
    for (const printed of lines) {
      expect(printed.filter(([text]) => text === "How are you?").map(([, sender]) => sender)).toHaveLength(3);
      expect(printed.filter(([, sender]) => sender === "self")).toHaveLength(2);
      expect(printed).toHaveLength(6);
    }
  });
});
