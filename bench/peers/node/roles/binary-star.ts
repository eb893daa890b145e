/** A pair of servers whose active server is killed with -9 repeatedly, and the client that sends requests. */
import { BinaryStarClient } from "shoal/patterns";
import { programFile } from "../../../places.js";
import { Latencies } from "../histogram.js";
import { freeEndpoints, KilledServer, type StarRole } from "./killed-pair.js";
import type { Role, Roles } from "./role.js";

const PROGRAM = programFile("peers/node/star-server-main");

const pair: Role = async (side) => {
  const heartbeat = side.number("heartbeat", 1_000);
  const [a, b, primaryEndpoint, backupEndpoint] = (await freeEndpoints(4)) as [
    string,
    string,
    string,
    string,
  ];
  const servers: Record<StarRole, KilledServer> = {
    primary: new KilledServer([PROGRAM, "primary", a, b, primaryEndpoint, String(heartbeat)]),
    backup: new KilledServer([PROGRAM, "backup", b, a, backupEndpoint, String(heartbeat)]),
  };
  await Promise.all([servers.primary.start("active"), servers.backup.start("passive")]);
  // An attempt lasts longer than the standby server's timeout: it holds the request until it is active.
  const client = new BinaryStarClient([primaryEndpoint, backupEndpoint], { attemptTimeout: 4 * heartbeat });
  let asked = 0;
  const ask = async (): Promise<StarRole> => {
    const body = String(asked++);
    const [role, reply] = await client.request(body);
    if (String(reply) !== body) throw new Error(`the reply to ${body} is ${reply}`);
    return String(role) as StarRole;
  };
  let serving = await ask();
  await side.ready();
  const latencies = new Latencies();
  for (let round = 0; round < side.warmup + side.count; round++) {
    if (round === side.warmup) side.begin();
    // The golden ratio spreads the kills of few rounds evenly between two heartbeats.
    const until = performance.now() + heartbeat * ((round * 0.618) % 1);
    while (performance.now() < until) await ask();
    const from = process.hrtime.bigint();
    const gone = servers[serving].kill();
    let next = serving;
    while (next === serving) next = await ask();
    if (round >= side.warmup) latencies.record(Number(process.hrtime.bigint() - from));
    await gone;
    await servers[serving].start("passive");
    serving = next;
  }
  side.end();
  await side.done({ messages: side.count, bytes: 0, ordered: true, latency: latencies.table });
  await client.close();
  await Promise.all([servers.primary.kill(), servers.backup.kill()]);
};

export const roles: Roles = { pair };
