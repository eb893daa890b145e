import { expect, test } from "vitest";
import { MAX_TOPIC_ALIASES } from "../../../src/cluster/messaging/bounds.js";
import { withMessaging } from "./with-messaging.js";

test("a number that another topic has had meanwhile is defined again, and one that is not shared is used", () =>
  withMessaging({}, ["a", "b"], async ({ a, b }, world) => {
    const got: string[] = [];
    b.subscribe("#", ({ topic, data }) => void got.push(`${topic} ${data}`));
    await world.advance(200);
    const topics = Array.from({ length: MAX_TOPIC_ALIASES + 1 }, (_, i) => `t/${i}`);
    const published: string[] = [];
    const publish = (topic: string): void => {
      published.push(`${topic} ${published.length}`);
      void a.publish(topic, String(published.length - 1));
    };
    // The first and the last one share a number.
    for (let round = 0; round < 3; round++) for (const topic of topics) publish(topic);
    for (const topic of ["t/0", "t/1", topics.at(-1) as string, "t/0"]) publish(topic);
    await world.advance(200);
    expect(got).toEqual(published);
  }));
