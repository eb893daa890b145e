/**
 * Discovery by hand: each node shouts into the local network once in a while, and hears the others.
 *
 * A datagram to a multicast group reaches everybody who has joined it, so nobody has to know an address beforehand. RADIO and
 * DISH sockets speak UDP, too. Look at what a beacon carries: an id, since an address alone does not show that a node was
 * restarted, nor which of the datagrams are one's own. What is missing (who is gone, other networks, forged beacons) is in
 * `discovery.ts`. The Guide's first model sends broadcasts, which leave the machine; this group stays on it.
 *
 *   node examples/guide/chapter8/udp-ping.ts [node]
 */
import { randomUUID } from "node:crypto";
import { setInterval } from "node:timers/promises";
import { Dish, Radio } from "shoal/draft";

const [role = "all"] = process.argv.slice(2);
const GROUP = "udp://127.0.0.1;239.255.90.91"; // The interface, and the group.

async function run(port: string, isEnough: (peers: number) => boolean): Promise<void> {
  const id = randomUUID();
  const ears = new Dish();
  ears.join("beacon");
  await ears.bind(`${GROUP}:${port}`);
  const voice = new Radio();
  voice.connect(`${GROUP}:${port}`);

  const peers = new Set<string>();
  const listening = (async () => {
    for await (const [beacon] of ears) {
      const peer = String(beacon);
      if (peer === id || peers.has(peer)) continue;
      peers.add(peer);
      console.log(`found a peer, that makes ${peers.size}`);
    }
  })();
  for await (const _ of setInterval(role === "all" ? 10 : 1_000)) {
    await voice.send(id, { group: "beacon" });
    if (isEnough(peers.size)) break;
  }
  await Promise.all([voice.close(), ears.close()]);
  await listening;
}

if (role === "node")
  await run("9999", () => false); // Until Ctrl-C.
else {
  // Three nodes that go when all of them have found the two others.
  let complete = 0;
  const has = new Set<number>();
  const isEnough = (node: number) => (peers: number) => {
    if (peers === 2 && !has.has(node)) complete = has.add(node).size;
    return complete === 3;
  };
  await Promise.all([0, 1, 2].map((node) => run("9998", isEnough(node))));
}
