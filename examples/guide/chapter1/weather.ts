/**
 * Weather by subscription: a station publishes for every place, a reader takes one place and makes an average.
 *
 * The first frame of a message is its topic, and a subscription is a prefix of it: unwanted messages do not leave the
 * station. Look at `waitForSubscribers`. A publisher sends to connected readers only, so a late reader misses earlier messages:
 * the Guide's reader loses them, this station waits for its reader.
 *
 *   node examples/guide/chapter1/weather.ts [station | reader] [ENDPOINT] [PLACE]
 */
import { setInterval } from "node:timers/promises";
import { Publisher, Subscriber } from "shoal";

const [role = "all", given, place = "10001"] = process.argv.slice(2);
const endpoint = given ?? (role === "all" ? "inproc://weather" : "tcp://127.0.0.1:5556");
const PLACES = ["10001", "60601", "94105"];

/** Measures every few milliseconds, until the socket closes. */
async function publish(station: Publisher): Promise<void> {
  for await (const _ of setInterval(2)) {
    if (station.closed) break;
    for (const each of PLACES) {
      const celsius = Math.round(Math.random() * 60 - 20);
      const humidity = Math.round(Math.random() * 50 + 10);
      await station.send([each, `${celsius} ${humidity}`]);
    }
  }
}

async function read(): Promise<void> {
  const reader = new Subscriber();
  reader.connect(endpoint);
  reader.subscribe(place);
  let sum = 0;
  let updates = 0;
  for await (const [, report] of reader) {
    sum += Number(String(report).split(" ")[0]);
    if (++updates === 10) break;
  }
  await reader.close();
  console.log(`average of ${updates} updates for ${place}: ${Math.round(sum / updates)} °C`);
}

if (role === "reader") {
  await read();
} else {
  const station = new Publisher();
  await station.bind(endpoint);
  if (role === "station") {
    process.once("SIGINT", () => station.close());
    await publish(station);
  } else {
    const reading = read();
    await station.waitForSubscribers({ topic: place });
    const publishing = publish(station);
    await reading;
    await station.close();
    await publishing;
  }
}
