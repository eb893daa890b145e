/** Questions for retained values, without links: who is asked again. */
import { expect, it } from "vitest";
import { RetainedItem, Retention } from "../../../src/cluster/messaging/retained.js";
import { RetainedValues } from "../../../src/cluster/messaging/retained-values.js";
import { ignore } from "../../../src/core/waiter.js";

it("a member that asks before its return is known here is told to ask again for what it missed", async () => {
  const sent: (number | undefined)[] = [];
  let peers = ["a"];
  const messaging = {
    retained: new RetainedValues({ topics: 10, bytes: 10_000 }),
    links: {
      send: (_to: string, _kind: number, item: Uint8Array) => {
        sent.push(item[0]);
        return "sent";
      },
      room: () => Promise.resolve(false),
    },
    drops: { dropped: ignore },
    peers: () => peers,
  };
  const retention = new Retention(messaging as never);
  retention.onMember("a");
  retention.onAsk("a", { number: 1, filters: ["x/#"] });
  await new Promise((resolve) => setImmediate(resolve));
  peers = [];
  retention.onGone("a");
  retention.onAsk("a", { number: 2, filters: ["y/#"] });
  await new Promise((resolve) => setImmediate(resolve));
  peers = ["a"];
  sent.length = 0;
  retention.onMember("a");
  expect(sent).toEqual([RetainedItem.AGAIN]);
  retention.close();
});
