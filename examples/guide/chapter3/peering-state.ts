/**
 * Peering, part 1: three sites let each other know how many of their workers are free.
 *
 * Each site publishes its own state and subscribes to all others; nobody is in charge, and there is nothing to be configured
 * but the others' endpoints. A site that is slow needs the newest state only. Look at `conflate`, with which the publisher
 * keeps just that one for each peer, so that nobody works through what is no longer true.
 *
 *   node examples/guide/chapter3/peering-state.ts [NAME OTHER…]
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json, Publisher, Subscriber } from "shoal";

const [own, ...others] = process.argv.slice(2);
const at = (site: string) =>
  own === undefined ? `inproc://state-${site}` : `ipc://${join(tmpdir(), `site-${site}`)}`;

async function runSite(site: string, peers: readonly string[], free: number): Promise<void> {
  const state = new Publisher({ codec: json<number>(), conflate: true });
  await state.bind(at(site));
  const readers = peers.map(async (peer) => {
    const reader = new Subscriber({ codec: json<number>() });
    reader.subscribe(peer);
    reader.connect(at(peer));
    const [name, workers] = await reader.receive();
    console.log(`${site}: ${name} has ${workers} free workers`);
    await reader.close();
  });
  await state.waitForSubscribers({ count: peers.length });
  await state.send([site, free]);
  await Promise.all(readers);
  await state.close();
}

if (own !== undefined) await runSite(own, others, 5);
else {
  const sites = ["DC1", "DC2", "DC3"];
  await Promise.all(
    sites.map((site, i) =>
      runSite(
        site,
        sites.filter((other) => other !== site),
        i,
      ),
    ),
  );
}
