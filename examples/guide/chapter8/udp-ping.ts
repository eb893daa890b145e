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
import { Dish, Radio } from "shoal/draft";

const [role = "all"] = process.argv.slice(2);
const GROUP = "udp://127.0.0.1;239.255.90.91"; // The interface, and the group.

/** Beats and listens until it is closed; `complete` settles when it has found so many others. */
async function openNode(wanted: string, others: number) {
  const id: string = randomUUID();
  const ears = new Dish();
  ears.join("beacon");
  const endpoint = await ears.bind(wanted);
  const voice = new Radio();
  voice.connect(endpoint);
  const beats = setInterval(() => voice.send(id, { group: "beacon" }), role === "all" ? 10 : 1_000);

  let found = (): void => undefined;
  const complete = new Promise<void>((resolve) => (found = resolve));
  const listening = (async () => {
    const peers = new Set([id]);
    for await (const [beacon] of ears) {
      const peer = String(beacon);
      if (peers.has(peer)) continue;
      peers.add(peer);
      console.log(`found a peer, that makes ${peers.size - 1}`);
      if (peers.size - 1 === others) found();
    }
  })();
  const close = async () => {
    clearInterval(beats);
    await Promise.all([voice.close(), ears.close()]);
    await listening;
  };
  return { endpoint, complete, close };
}

if (role === "node") {
  const node = await openNode(`${GROUP}:9999`, 1);
  process.once("SIGINT", node.close);
} else {
  const first = await openNode(`${GROUP}:*`, 2); // A port by the system, for all three.
  const nodes = [first, await openNode(first.endpoint, 2), await openNode(first.endpoint, 2)];
  await Promise.all(nodes.map(({ complete }) => complete));
  for (const node of nodes) await node.close();
}
