/** Contexts of traces in the items of messages. */
import { expect, test, vi } from "vitest";
import { MIN_ITEM_LIMIT } from "../../../src/cluster/messaging/bounds.js";
import { encodeDirect, PublishItem } from "../../../src/cluster/messaging/items.js";
import { decodeMemberItem, encodeMemberItem, MemberOp } from "../../../src/cluster/messaging/member-wire.js";
import { Publication, TopicPlan } from "../../../src/cluster/messaging/publication.js";
import { vectorsUnder } from "../../support/markdown.js";
import { publishItem } from "./published.js";
import { withMessaging } from "./with-messaging.js";

const CONTEXT_BYTES = Buffer.from("abcd", "hex");
const MESSAGE = { op: MemberOp.MESSAGE, channel: 0, id: 0, ruid: "", data: "x" };

function read(item: Buffer): PublishItem {
  const publish = new PublishItem();
  expect(publish.readHead(item, 0, item.length) && publish.readTail()).toBe(true);
  return publish;
}

test("the vectors of the specification", () => {
  const rows = [
    ["PUBLISH of x to t", publishItem("t", { context: CONTEXT_BYTES })],
    ["DIRECT to the client 2", encodeDirect(2, 1, undefined, "x", CONTEXT_BYTES)],
    ["MESSAGE on channel 0, the text x", encodeMemberItem({ ...MESSAGE, context: CONTEXT_BYTES })],
  ] as const;
  const listed = vectorsUnder("spec/messaging.md", "Contexts of traces");
  expect(listed).toEqual(rows.map(([what, bytes]) => [what, bytes.toString("hex")]));
  expect(read(rows[0][1]).context).toEqual(CONTEXT_BYTES);
  expect(decodeMemberItem(rows[2][1])).toMatchObject({ context: CONTEXT_BYTES, data: "x" });
});

test("a context that is larger than one may be is ignored, and its message is not", () => {
  const item = publishItem("t", { context: Buffer.alloc(1_025, 1) });
  const publish = read(item);
  expect([publish.context, publish.reader.rest().toString()]).toEqual([undefined, "x"]);
  expect(decodeMemberItem(encodeMemberItem({ ...MESSAGE, context: Buffer.alloc(1_025, 1) }))).toEqual(
    MESSAGE,
  );
});

test("an item that is larger with its context than what every node takes goes without", () => {
  const messaging = (name: string) => name !== "b" || { maxItem: MIN_ITEM_LIMIT };
  return withMessaging(messaging, ["a", "b"], async ({ a, b }, world) => {
    const items: Buffer[] = [];
    const { topics } = b.parts.messages.messaging;
    vi.spyOn(topics, "onPublish").mockImplementation((_, bytes, start, end) => {
      items.push(Buffer.from(bytes.subarray(start, end)));
    });
    const publication = new Publication(new TopicPlan("t"));
    publication.set(publication.plan, 1, undefined, 0, "x".repeat(262_100), Buffer.alloc(100, 1));
    expect(a.parts.messages.links.publish([b.id], publication, [])).toBe(1);
    await world.until(() => items.length === 1);
    expect(read(items[0] as Buffer).context).toBeUndefined();
  });
});
