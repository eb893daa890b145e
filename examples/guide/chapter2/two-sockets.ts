/**
 * Two sockets in one program: tasks from a ventilator, and weather from a publisher.
 *
 * The Guide reads them in turn without waiting, and sleeps when there is nothing (msreader): the way not to do it. Then it waits
 * for both at once with a poll (mspoller). In JavaScript each socket has a loop of its own. Look at how the two loops run next
 * to each other: one that waits costs nothing, and neither can starve the other.
 *
 *   node examples/guide/chapter2/two-sockets.ts [TASKS-ENDPOINT WEATHER-ENDPOINT]
 */
import { Publisher, Pull, Push, Subscriber } from "shoal";

const [tasks, weather] = process.argv.slice(2);
const receiver = new Pull();
const subscriber = new Subscriber();
receiver.connect(tasks ?? "inproc://tasks");
subscriber.connect(weather ?? "inproc://weather");
subscriber.subscribe("10001");

/** Counts what comes, up to the message END. */
async function read(name: string, socket: Pull | Subscriber): Promise<void> {
  let processed = 0;
  for await (const frames of socket) {
    if (String(frames.at(-1)) === "END") break;
    processed += 1;
  }
  await socket.close();
  console.log(`${name}: ${processed} messages`);
}
const reading = [read("tasks", receiver), read("weather", subscriber)];

if (tasks === undefined) {
  // Alone: the other ends are here, too.
  const ventilator = new Push();
  const station = new Publisher();
  await Promise.all([ventilator.bind("inproc://tasks"), station.bind("inproc://weather")]);
  await station.waitForSubscribers();
  for (let i = 0; i < 50; i++) await Promise.all([ventilator.send("task"), station.send(["10001", "21"])]);
  await Promise.all([ventilator.send("END"), station.send(["10001", "END"])]);
  await Promise.all([ventilator.close(), station.close()]);
} else {
  process.once("SIGINT", () => Promise.all([receiver.close(), subscriber.close()]));
}
await Promise.all(reading);
