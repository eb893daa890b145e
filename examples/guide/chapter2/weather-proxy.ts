/**
 * A bridge for broadcasts: a publisher inside a network, subscribers outside, and a proxy on the border.
 *
 * Subscribers subscribe at the proxy, and the proxy passes their subscriptions on to the publisher: other messages do not even
 * reach the border. Look at the count of messages that passed: two of the three. The Guide's wuproxy does it
 * with XSUB and XPUB sockets; a `ForwarderProxy` is made of the same two.
 *
 *   node examples/guide/chapter2/weather-proxy.ts [proxy] [PUBLISHER] [OUTSIDE]
 */
import { Publisher, Subscriber } from "shoal";
import { ForwarderProxy } from "shoal/proxy";

const [role = "all", ...given] = process.argv.slice(2);
const inside = given[0] ?? (role === "all" ? "inproc://weather" : "tcp://127.0.0.1:5556");
const station = new Publisher();
if (role === "all") await station.bind(inside);

const proxy = new ForwarderProxy({
  frontend: { connect: inside },
  backend: { bind: given[1] ?? (role === "all" ? "tcp://127.0.0.1:*" : "tcp://127.0.0.1:8100") },
});
await proxy.start();

if (role === "proxy") process.once("SIGINT", () => proxy.close());
else {
  const outside = new Subscriber();
  outside.connect(proxy.endpoints.backend[0] ?? "");
  outside.subscribe("10001");
  await station.waitForSubscribers({ topic: "10001" }); // It came through the proxy.

  await station.send(["10001", "21 °C"]);
  await station.send(["94105", "15 °C"]);
  await station.send(["10001", "22 °C"]);
  for (let i = 0; i < 2; i++) console.log(`outside: ${(await outside.receive()).join(" ")}`);
  console.log(`proxy: ${proxy.stats().frontend.in.messages} messages passed`);
  await Promise.all([outside.close(), station.close()]);
  await proxy.close();
}
