/** A cluster of many nodes in one process, in virtual time: what it takes to lose a silent one, and what the nodes send. */
import { ClusterNode } from "shoal/cluster";
import { simulate, type World } from "shoal/testing";
import { Latencies } from "../histogram.js";
import type { Side } from "../side.js";
import type { Roles } from "./role.js";

const KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
/** Virtual ms: at most until all see all, and until all have lost one; of quiet before a disturbance; of counting. */
const AGREE = 60_000;
const NOTICE = 60_000;
const QUIET = 5_000;
const COUNTED = 60_000;
const MAX_EVENTS = 1_000_000_000;

const world: Roles[string] = async (side: Side) => {
  const size = side.number("nodes", 30);
  const loss = side.number("loss", 0.01);
  const latencies = new Latencies();
  await side.ready();
  let falseDeaths = 0;
  let bytesPerSecond = Number.NaN;
  await simulate({ seed: 1, network: { loss }, shrink: false, maxEvents: MAX_EVENTS }, async (run: World) => {
    const nodes = new Map<string, ClusterNode>();
    let victim: string | undefined;
    let lostAt: number[] = [];
    const start = (name: string): Promise<unknown> =>
      run.node(name).start(async () => {
        const node = new ClusterNode({ name, scope: "link", key: KEY });
        node.events.on("lost", ({ member }) => {
          if (member.host === victim) lostAt.push(run.now);
          else falseDeaths++;
        });
        await node.start();
        nodes.set(name, node);
      });
    const names = Array.from({ length: size }, (_, index) => `n${index}`);
    const whole = (): boolean =>
      names.every((name) => nodes.get(name)?.members({ self: false }).length === size - 1);
    for (const name of names) await start(name);
    await run.until(whole, AGREE);
    for (let round = 0; round < side.count; round++) {
      await run.advance(QUIET);
      const name = names[1 + (round % (size - 1))] as string;
      victim = name;
      lostAt = [];
      const from = run.now;
      run.node(name).crash();
      nodes.delete(name);
      await run.until(() => lostAt.length >= size - 1, NOTICE);
      for (const at of lostAt) latencies.record((at - from) * 1e6);
      await start(name);
      await run.until(whole, AGREE);
      victim = undefined;
    }
    await run.advance(QUIET);
    const sent = (): number => [...nodes.values()].reduce((sum, node) => sum + node.stats().bytesSent, 0);
    const before = sent();
    await run.advance(COUNTED);
    bytesPerSecond = (sent() - before) / size / (COUNTED / 1e3);
  });
  side.end();
  const extra = { falseDeaths, bytesPerSecond };
  await side.done({ messages: side.count, bytes: 0, ordered: true, latency: latencies.table, extra });
};

export const roles: Roles = { world };
