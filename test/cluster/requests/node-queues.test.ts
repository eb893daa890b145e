/** What waits for nodes: bounded where nothing else bounds it, and in order. */
import { expect, it } from "vitest";
import { MAX_UNREAD_ANSWERS, MAX_UNREAD_BYTES } from "../../../src/cluster/requests/bounds.js";
import { type ItemResult, NodeQueues } from "../../../src/cluster/requests/node-queues.js";

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
    send: (_, item): ItemResult => {
      if (!isOpen) return "full";
      sent.push(item.toString("latin1", 0, 8));
      return "sent";
    },
    room: () => room,
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
  const large = Buffer.alloc(MAX_UNREAD_BYTES / 4);
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
