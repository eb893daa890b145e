/**
 * The programs of subnets.test.ts, each in a network of its own: node subnets.js ROLE OPTIONS, the options as JSON.
 *
 *   proxy   stands on both networks; says "ready", and its statistics for each line on its standard input
 *   worker  inside: echoes requests
 *   client  outside: sends each line as a request, and prints the reply
 *   direct  tries to reach an address, and prints what came of it
 */
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { Reply, Request } from "shoal";
import { QueueProxy } from "shoal/proxy";

const [role, given = "{}"] = process.argv.slice(2);
const options = JSON.parse(given);
const say = (/** @type {unknown} */ what) =>
  console.log(typeof what === "string" ? what : JSON.stringify(what));

switch (role) {
  case "proxy": {
    const proxy = new QueueProxy(options);
    await proxy.start();
    say("ready");
    for await (const _ of createInterface({ input: process.stdin })) say(proxy.stats());
    await proxy.close({ linger: 0 });
    break;
  }
  case "worker": {
    const worker = new Reply();
    worker.connect(options.endpoint);
    await worker.ready();
    say("ready");
    process.stdin.on("end", () => worker.close({ linger: 0 })).resume();
    for await (const request of worker) await worker.send(request);
    break;
  }
  case "client": {
    const { endpoint, ...security } = options;
    const client = new Request({ ...security, reconnectInterval: 50, reconnectMaxInterval: 100 });
    client.connect(endpoint);
    say("ready");
    for await (const line of createInterface({ input: process.stdin }))
      client.request(line, { timeout: 10_000 }).then(
        (reply) => say(String(reply)),
        (error) => say(error.code),
      );
    await client.close({ linger: 0 });
    break;
  }
  default: {
    const socket = connect({ host: options.host, port: options.port, timeout: 2_000 });
    socket.on("connect", () => say("connected"));
    socket.on("timeout", () => socket.destroy(new Error("timeout")));
    socket.on("error", (error) => say(`refused: ${"code" in error ? error.code : error.message}`));
    socket.on("connect", () => socket.destroy());
  }
}
