/** What waits for nodes: bounded where nothing else bounds it, and in order. */
import { expect, it } from "vitest";
import {
  MAX_KEPT_ANSWER_BYTES,
  MAX_QUEUED_BYTES,
  MAX_QUEUED_ITEMS,
  MAX_UNREAD_ANSWER_BYTES,
  MAX_UNREAD_ANSWERS,
} from "../../../src/cluster/messaging/bounds.js";
import { NodeQueues } from "../../../src/cluster/messaging/node-queues.js";
import type { SendResult } from "../../../src/cluster/messaging/parts.js";

/** A link that takes nothing until it is opened. */
function closedLink(): {
  readonly queues: NodeQueues;
  readonly sent: string[];
  readonly dropped: () => number;
  open(): void;
} {
  let isOpen = false;
  let open = (): void => undefined;
  const room = new Promise<void>((resolve) => {
    open = resolve;
  });
  const sent: string[] = [];
  let dropped = 0;
  const queues = new NodeQueues({
    send: (_, item): SendResult => {
      if (!isOpen) return "full";
      sent.push(item.toString("latin1", 0, 8));
      return "sent";
    },
    room: () => room,
    mayReturn: () => false,
    isAnswer: () => true,
    unread: () => {
      dropped += 1;
    },
  });
  return {
    queues,
    sent,
    dropped: () => dropped,
    open: () => {
      isOpen = true;
      open();
    },
  };
}

it("keeps some answers that a node does not read, drops the others, and none of what holds a slot", async () => {
  const { queues, sent, dropped, open } = closedLink();
  const asked = 10 * MAX_UNREAD_ANSWERS;
  for (let i = 0; i < asked; i++) queues.answer("node", Buffer.from(`${i}`));
  expect([queues.size, dropped()]).toEqual([MAX_UNREAD_ANSWERS, asked - MAX_UNREAD_ANSWERS]);
  const reply = new Promise((resolve) => queues.sendLater("node", Buffer.from("reply"), resolve));
  open();
  expect(await reply).toBe("sent");
  const kept = Array.from({ length: MAX_UNREAD_ANSWERS }, (_, i) => `${i}`);
  expect(sent).toEqual([...kept, "reply"]);
  queues.answer("node", Buffer.from("after"));
  expect([sent.at(-1), queues.size]).toEqual(["after", 0]);
});

it("counts bytes as well, and each node by itself", async () => {
  const { queues, dropped, open } = closedLink();
  const large = Buffer.alloc(MAX_UNREAD_ANSWER_BYTES / 4);
  for (let i = 0; i < 10; i++) queues.answer("node", large);
  expect([queues.size, dropped()]).toEqual([4, 6]);
  queues.answer("other", large);
  expect(dropped()).toBe(6);
  const last = new Promise((resolve) => queues.sendLater("node", Buffer.from("last"), resolve));
  open();
  await last;
  for (let i = 0; i < 4; i++) queues.answer("node", large);
  expect(dropped()).toBe(6);
});

it("drops what comes for a node that takes nothing, past a number of items and of bytes; one may always wait", async () => {
  const { queues, sent, dropped, open } = closedLink();
  const results: string[] = [];
  const later = (node: string, item: Buffer): void =>
    queues.sendLater(node, item, (result) => results.push(`${node} ${result}`));
  const small = Buffer.from("0");
  for (let i = 0; i < MAX_QUEUED_ITEMS; i++) queues.sendLater("many", small);
  later("many", small);
  // Memory that is not touched is none.
  later("large", Buffer.allocUnsafeSlow(MAX_QUEUED_BYTES + 1));
  later("large", small);
  expect([queues.size, dropped()]).toEqual([MAX_QUEUED_ITEMS + 1, 2]);
  expect(results).toEqual(["many dropped", "large dropped"]);
  open();
  while (queues.size > 0) await new Promise(setImmediate);
  later("many", small);
  later("large", small);
  expect(results.slice(2)).toEqual(["large sent", "many sent", "large sent"]);
  expect([sent.length, dropped()]).toEqual([MAX_QUEUED_ITEMS + 3, 2]);
});

it("does not count what has gone, while others follow it", async () => {
  const { queues, sent, dropped, open } = closedLink();
  const all = new Promise<void>((resolve) => {
    // Each makes another one wait behind it, before the queue is empty.
    for (let i = 0; i < MAX_QUEUED_ITEMS; i++)
      queues.sendLater("node", Buffer.from("0"), () =>
        queues.sendLater("node", Buffer.from("1"), () => sent.length === 2 * MAX_QUEUED_ITEMS && resolve()),
      );
  });
  open();
  await all;
  expect([queues.size, dropped()]).toEqual([0, 0]);
});

interface LostNode {
  readonly queues: NodeQueues;
  readonly sent: string[];
  readonly dropped: () => number;
  state: "there" | "lost" | "gone";
  isFull: boolean;
}

/** A link to a node that is lost now and then; what is no answer begins with "m". */
function lostNode(): LostNode {
  const world: LostNode = {
    state: "there",
    isFull: false,
    sent: [],
    dropped: () => dropped,
    queues: new NodeQueues({
      send: (_, item): SendResult => {
        if (world.state !== "there") return "unreachable";
        if (world.isFull) return "full";
        world.sent.push(item.toString("latin1", 0, 8));
        return "sent";
      },
      room: () => new Promise(() => undefined),
      mayReturn: () => world.state === "lost",
      isAnswer: (item) => item.toString("latin1", 0, 1) !== "m",
      unread: () => {
        dropped += 1;
      },
    }),
  };
  let dropped = 0;
  return world;
}

it("keeps answers for a node that is lost, and gives them in their order when it is back", () => {
  const world = lostNode();
  const { queues, sent } = world;
  const results: string[] = [];
  world.isFull = true;
  queues.answer("node", Buffer.from("2"), (result) => results.push(`2 ${result}`));
  queues.sendLater("node", Buffer.from("m"), (result) => results.push(`m ${result}`));
  world.state = "lost";
  // What its link gave up was sent before.
  queues.lost("node", [Buffer.from("0"), Buffer.from("m"), Buffer.from("1")]);
  expect(results).toEqual(["2 sent", "m unreachable"]);
  queues.answer("node", Buffer.from("3"));
  expect(queues.send("node", Buffer.from("call"))).toBe("unreachable");
  world.isFull = false;
  world.state = "there";
  expect(sent).toEqual([]);
  queues.back("node");
  expect([sent, queues.size]).toEqual([["0", "1", "2", "3"], 0]);
  queues.answer("node", Buffer.from("4"));
  expect(sent.at(-1)).toBe("4");
});

it("keeps them while the link has no room, and if the node is lost once more", () => {
  const world = lostNode();
  const { queues, sent } = world;
  world.state = "lost";
  for (const text of ["0", "1"]) queues.answer("node", Buffer.from(text));
  world.state = "there";
  world.isFull = true;
  queues.back("node");
  expect([sent, queues.size]).toEqual([[], 2]);
  world.state = "lost";
  queues.lost("node", []);
  world.state = "there";
  world.isFull = false;
  queues.back("node");
  expect([sent, queues.size]).toEqual([["0", "1"], 0]);
});

it("counts what was kept for a node that takes no messages when it is back", () => {
  const world = lostNode();
  const { queues, sent } = world;
  const results: string[] = [];
  world.state = "lost";
  for (const text of ["0", "1"]) queues.answer("node", Buffer.from(text), (result) => results.push(result));
  queues.lost("another", [Buffer.from("2")]);
  world.state = "gone";
  queues.back("node");
  expect([results, sent, queues.size, world.dropped()]).toEqual([["sent", "sent"], [], 1, 2]);
  // Once, and as answers: others of the same kind have their own.
  queues.back("node");
  world.state = "there";
  queues.back("another");
  expect([sent, queues.size, world.dropped()]).toEqual([["2"], 0, 2]);
});

it("drops what was kept for a node that is gone for good, and what is too much", () => {
  const world = lostNode();
  const { queues, sent } = world;
  world.state = "lost";
  const results: string[] = [];
  for (let i = 0; i < MAX_UNREAD_ANSWERS; i++) queues.answer("node", Buffer.from("0"));
  queues.answer("node", Buffer.from("1"), (result) => results.push(result));
  expect([queues.size, world.dropped(), results]).toEqual([MAX_UNREAD_ANSWERS, 1, ["dropped"]]);
  queues.gone("node");
  expect(queues.size).toBe(0);
  const large = Buffer.alloc(MAX_UNREAD_ANSWER_BYTES);
  const nodes = MAX_KEPT_ANSWER_BYTES / MAX_UNREAD_ANSWER_BYTES;
  for (let i = 0; i <= nodes; i++) queues.answer(`node ${i}`, large);
  expect([queues.size, world.dropped()]).toEqual([nodes, 2]);
  queues.gone("node 0");
  queues.answer("another", large);
  expect([queues.size, world.dropped()]).toEqual([nodes, 2]);
  // Of a node that is no member nothing is kept.
  world.state = "gone";
  queues.answer("stranger", Buffer.from("0"), (result) => results.push(result));
  expect([queues.size, results.at(-1)]).toEqual([nodes, "unreachable"]);
  queues.close();
  expect([queues.size, sent]).toEqual([0, []]);
});
