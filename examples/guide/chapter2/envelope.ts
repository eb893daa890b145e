/**
 * A topic in a frame of its own: the subscription is compared with the key, never with the data behind it.
 *
 * A message of several frames arrives whole or not at all. Look at the codec: the last frame is an object on both sides, with
 * a type, and the topic stays bytes. A subscription is a prefix, so "B" also gets "BB": end topics with a character that they
 * do not contain, such as "/", where that matters.
 *
 *   node examples/guide/chapter2/envelope.ts [publisher | subscriber] [ENDPOINT]
 */
import { setInterval } from "node:timers/promises";
import { json, Publisher, Subscriber } from "shoal";

interface Report {
  readonly text: string;
}
const [role = "all", given] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "inproc://envelope" : "tcp://127.0.0.1:5563");

const publisher = new Publisher({ codec: json<Report>() });
async function publishOnce(): Promise<void> {
  await publisher.send(["A/", { text: "We don't want to see this" }]);
  await publisher.send(["B/", { text: "We would like to see this" }]);
}

async function read(count: number): Promise<void> {
  const subscriber = new Subscriber({ codec: json<Report>() });
  subscriber.connect(endpoint);
  subscriber.subscribe("B/");
  for (let i = 0; i < count; i++) {
    const [topic, { text }] = await subscriber.receive();
    console.log(`[${topic}] ${text}`);
  }
  await subscriber.close();
}

if (role === "subscriber") await read(Number.POSITIVE_INFINITY);
else {
  await publisher.bind(endpoint);
  if (role === "publisher") {
    process.once("SIGINT", () => publisher.close());
    for await (const _ of setInterval(1_000)) {
      if (publisher.closed) break;
      await publishOnce();
    }
  } else {
    const reading = read(2);
    await publisher.waitForSubscribers();
    await publishOnce();
    await publishOnce();
    await reading;
    await publisher.close();
  }
}
