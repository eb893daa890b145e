/** What waits for nodes: bounded where nothing else bounds it, and in order. */
import { it } from "vitest";
import {
  MAX_QUEUED_BYTES,
  MAX_QUEUED_ITEMS,
  MAX_UNREAD_ANSWER_BYTES,
} from "../../../src/cluster/messaging/bounds.js";
import { NodeQueues, WaitingSends } from "../../../src/cluster/messaging/node-queues.js";
import { MessageKind, type SendResult } from "../../../src/cluster/messaging/parts.js";
import { gate } from "../../support/gate.js";
import { expect } from "../../support/quick-expect.js";

/** A link that takes nothing until it is opened. */
function closedLink() {
  let isOpen = false;
  const room = gate();
  const sent: string[] = [];
  const send = (_: string, kind: number, item: Uint8Array): SendResult => {
    expect(kind).toBe(MessageKind.MEMBER);
    if (!isOpen) return "full";
    sent.push(Buffer.from(item).toString("latin1", 0, 8));
    return "sent";
  };
  const links = { send, room: () => room.passed.then(() => true), maxItem: 1_024 };
  const queues = new NodeQueues(links, MessageKind.MEMBER);
  const open = (): void => {
    isOpen = true;
    room.open();
  };
  return { queues, sent, open };
}

it("gives up at once what comes after it is closed, without a timer that stays", async () => {
  const waiting = new WaitingSends(10, 1_000, () => new Promise(() => undefined));
  const before = waiting.wait("node", 1, -1, () => "full");
  waiting.close();
  expect(await before).toBe("unreachable");
  const timers = (): number => process.getActiveResourcesInfo().filter((each) => each === "Timeout").length;
  const idle = timers();
  for (let i = 0; i < 2; i++) {
    const after = waiting.wait("node", 1, 60_000, () => "sent");
    expect([waiting.count, timers()]).toEqual([0, idle]);
    expect(await after).toBe("unreachable");
  }
});

it("counts bytes as well, and each node by itself", async () => {
  const { queues, open } = closedLink();
  const large = Buffer.alloc(MAX_UNREAD_ANSWER_BYTES / 4);
  for (let i = 0; i < 10; i++) queues.answer("node", large);
  expect([queues.count, queues.dropped]).toEqual([4, 6]);
  queues.answer("other", large);
  expect(queues.dropped).toBe(6);
  const last = new Promise((resolve) => queues.sendLater("node", Buffer.from("last"), resolve));
  open();
  await last;
  for (let i = 0; i < 4; i++) queues.answer("node", large);
  expect(queues.dropped).toBe(6);
});

it("drops what comes for a node that takes nothing, past a number of items and of bytes; one may always wait", async () => {
  const { queues, sent, open } = closedLink();
  const results: string[] = [];
  const later = (node: string, item: Buffer): void =>
    queues.sendLater(node, item, (result) => results.push(`${node} ${result}`));
  const small = Buffer.from("0");
  for (let i = 0; i < MAX_QUEUED_ITEMS; i++) queues.sendLater("many", small);
  later("many", small);
  // Memory that is not touched is none.
  later("large", Buffer.allocUnsafeSlow(MAX_QUEUED_BYTES + 1));
  later("large", small);
  expect([queues.count, queues.dropped]).toEqual([MAX_QUEUED_ITEMS + 1, 2]);
  expect(results).toEqual(["many dropped", "large dropped"]);
  open();
  while (queues.count > 0) await new Promise(setImmediate);
  later("many", small);
  later("large", small);
  expect(results.slice(2)).toEqual(["large sent", "many sent", "large sent"]);
  expect([sent.length, queues.dropped]).toEqual([MAX_QUEUED_ITEMS + 3, 2]);
});
