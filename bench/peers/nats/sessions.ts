/** Messages that JetStream keeps until acknowledged: a stream with one durable consumer, in memory or on disk. */
import type { Asker } from "../node/roles/asking.js";
import { askPipelined } from "../node/roles/asking.js";
import type { Side } from "../node/side.js";
import { bufferOf, open, placeOf } from "./client.js";

/** NATS is the server; this side only chooses the name. */
export async function server(side: Side): Promise<void> {
  await side.ready(placeOf(side, true).endpoint);
  await side.stopped;
  await side.done({ messages: 0, bytes: 0 });
}

export async function client(side: Side): Promise<void> {
  const place = placeOf(side, false);
  const connection = await open(place);
  const manager = await connection.jetstreamManager();
  const stream = `sessions${process.pid}`;
  await manager.streams.add({
    name: stream,
    subjects: [place.subject],
    storage: side.option("store", "memory") === "memory" ? "memory" : "file",
    retention: "interest",
  });
  await manager.consumers.add(stream, {
    durable_name: "bench",
    ack_policy: "explicit",
    max_ack_pending: 1_024,
  });
  const jetstream = connection.jetstream();
  const consumer = await jetstream.consumers.get(stream, "bench");
  const messages = await consumer.consume({ max_messages: 1_024 });
  const asker: Asker = {
    ask: (_, body) => void jetstream.publish(place.subject, body),
    onReply: () => undefined,
    async close() {
      await messages.close();
      await manager.streams.delete(stream);
      await connection.close();
    },
  };
  void (async () => {
    for await (const message of messages) {
      message.ack();
      asker.onReply(bufferOf(message.data));
    }
  })();
  await askPipelined(side, asker);
}
