/**
 * Nodes that publish while others are killed, cut, stopped, restarted and leave. Per publisher and topic nothing is reordered or comes
 * twice; what is missing is at most what the publisher's link to the reader has counted as lost. Each copy is in one count; and in the end all routes are right.
 * The default run deals three of them: a kill, a cut and a stop. SHOAL_LONG=1 deals 200.
 *
 *   a: ipc, tcp   b: pipes alone, so a cut leaves no way   c: pipes, and where these are cut ipc
 */

import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { ClusterNode } from "../../../src/cluster/index.js";
import { blowsFor } from "../../chaos/blows.js";
import { type Child, start } from "../../process/child.js";
import { LONG } from "../../support/long.js";
import { freePort } from "../../support/ports.js";
import { randomOf } from "../simulation/world.js";
import { pipesIn } from "./pipes-protocol.js";

/** ms between two bursts: the default run computes for its other tests, too. */
const INTERVAL = LONG ? 5 : 50;

/**
 * It publishes to a topic that the watcher alone subscribes to, each message with its number among those that went to it, how many of them its link to it
 * had counted as lost by then, and how often it lost the watcher; and to one that all subscribe to, each with its number.
 */
const PROGRAM = `
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { ClusterNode, streamProtocol } from "shoal/cluster";
const [name, group, port, folder] = process.argv.slice(1);
const streams = new Set();
let cut = false;
const take = (stream) => {
  if (cut) stream.destroy();
  streams.add(stream);
  stream.once("close", () => streams.delete(stream)).on("error", () => undefined);
  return stream;
};
const pipes = streamProtocol({
  name: "pipe",
  async listen(accept) {
    const path = folder + "/" + name + process.pid;
    const server = createServer((stream) => accept(take(stream))).listen(path);
    await once(server, "listening");
    return { advert: path, close: async () => void server.close() };
  },
  async connect(path) {
    if (cut) throw new Error("cut");
    const stream = connect(path);
    await once(stream, "connect");
    return take(stream);
  },
});
const protocols = { a: ["ipc", "tcp", pipes], b: [pipes], c: [pipes, "ipc", "tcp"] }[name];
const node = new ClusterNode({ name, multicast: { group, port: Number(port) }, messaging: { protocols, settle: 0 } });
const life = Date.now().toString(36) + process.pid;
const last = new Map();
let received = 0;
let losses = 0;
node.events.on("lost", ({ member }) => {
  if (!member.name.startsWith("watcher@")) return;
  losses += 1;
  writeFileSync(folder + "/lost-" + name, "");
});
await node.start();
const subscription = node.subscribe("all/#", ({ topic, data }) => {
  const [of, number] = data.toString().split(" ");
  const key = topic + " " + of;
  if (Number(number) <= (last.get(key) ?? -1)) console.log("FAULT", topic, of, last.get(key), number);
  last.set(key, Number(number));
  received += 1;
  if (topic === "all/end") console.log("end", of, number);
});
await subscription.ready.catch((error) => console.log("unready", error.message));
console.log("ready", life);
let sent = 0;
let all = 0;
let stopped = false;
const lost = () => {
  const { peers } = node.stats().messaging.links;
  const to = peers.find(({ name: peer }) => peer.startsWith("watcher@"));
  return (to === undefined ? "0" : to.lost) + " " + losses;
};
const turn = async () => {
  if (stopped) return;
  for (let i = 0; i < 20; i++) {
    const went = await node.publish("load/" + name, life + " " + sent + " " + lost(), { self: false });
    if (went > 1) console.log("FAULT load went to", went);
    sent += went;
    await node.publish("all/" + name, life + " " + all++, { self: false });
  }
  setTimeout(turn, ${INTERVAL});
};
void turn();
process.stdin.on("data", (text) => {
  for (const line of String(text).trim().split("\\n")) {
    if (line.startsWith("cut ")) {
      cut = true;
      for (const stream of streams) stream.destroy();
      setTimeout(() => { cut = false; }, Number(line.slice(4)));
    }
    if (line === "stop") { stopped = true; setTimeout(() => {
      for (const { name: peer, sent, delivered, waiting, dropped, lost } of node.stats().messaging.links.peers)
        if (delivered + waiting + dropped + lost !== sent) console.log("FAULT statistics of", peer, sent, delivered, waiting, dropped, lost);
      console.log("stopped", life, sent, lost());
    }, 50); }
    if (line === "leave") { stopped = true; void node.close().then(() => process.exit(0)); }
  }
});
`;

const BLOWS = blowsFor(3, 200);
/** ms of the default run for the blows. */
const DEALT_IN = BLOWS * 8_000;
const NAMES = ["a", "b", "c"];
const SEED = Number(process.env.SHOAL_SEED ?? 20_260_101);
const PATIENCE = LONG ? 60_000 : 20_000;

const port = await freePort();
const group = "239.192.84.13";
const folder = mkdtempSync(join(tmpdir(), "shoal-chaos-"));
const children = new Map<string, Child>();
let watcher: ClusterNode | undefined;

function spawn(name: string): Child {
  const child = start(PROGRAM, {
    args: [name, group, String(port), folder],
    limit: LONG ? 7_200_000 : 20_000 + DEALT_IN,
  });
  children.set(name, child);
  return child;
}

afterEach(async () => {
  for (const child of children.values()) {
    child.process.kill("SIGKILL");
    await child.outcome;
  }
  children.clear();
  await watcher?.close({ linger: 0 });
  rmSync(folder, { recursive: true, force: true });
});

/** The watcher's end of the pipes: only the others cut them. */
const pipes = pipesIn(folder);

/** What the watcher had of one life of a publisher. */
interface Seen {
  /** The number of the last message, and messages that are missing before it. */
  last: number;
  missing: number;
  received: number;
  lost: number;
  /** Times that it lost the watcher. */
  losses: number;
}

it("nothing is reordered or doubled, what is missing was counted as lost, and routes are right in the end", {
  timeout: LONG ? 7_200_000 : 50_000 + DEALT_IN,
}, async () => {
  const random = randomOf(SEED);
  const faults: string[] = [];
  const seen = new Map<string, Seen>();
  const node = new ClusterNode({
    name: "watcher",
    multicast: { group, port },
    messaging: { protocols: [pipes, "ipc", "tcp"] },
  });
  watcher = node;
  await node.start();
  const load = node.subscribe("load/#", ({ topic, data }) => {
    const [life, number, lost, losses] = data.toString().split(" ") as [string, string, string, string];
    const key = `${topic} ${life}`;
    let of = seen.get(key);
    if (of === undefined) {
      of = { last: -1, missing: 0, received: 0, lost: 0, losses: 0 };
      seen.set(key, of);
    }
    if (Number(number) <= of.last) faults.push(`${key}: ${number} after ${of.last}`);
    of.missing += Number(number) - of.last - 1;
    of.last = Number(number);
    of.lost = Number(lost);
    of.losses = Number(losses);
    of.received += 1;
    if (of.missing > of.lost)
      faults.push(`${key}: ${of.missing} are missing before ${number}, ${lost} are lost`);
  });
  for (const name of NAMES) spawn(name);
  const lives = new Map<string, string>();
  const ready = async (name: string): Promise<void> => {
    const line = await (children.get(name) as Child).line();
    expect(line).toMatch(/^ready/);
    lives.set(name, line.split(" ")[1] as string);
  };
  await Promise.all(NAMES.map(ready));
  const receives = async (name: string, more: number): Promise<void> => {
    const key = `load/${name} ${lives.get(name)}`;
    const before = seen.get(key)?.received ?? 0;
    await expect
      .poll(() => (seen.get(key)?.received ?? 0) - before, {
        timeout: PATIENCE,
        interval: 10,
        message: `messages of ${name}`,
      })
      .toBeGreaterThan(more);
  };
  await Promise.all(NAMES.map((name) => receives(name, 50)));

  for (let blow = 0; blow < BLOWS; blow++) {
    const kind = ["kill", "cut", "stop", "leave", "long stop", "standstill", "kill", "long cut"][
      blow % 8
    ] as string;
    const victims = kind.endsWith("cut") ? ["b", "c"] : NAMES;
    const name = victims[Math.floor(random() * victims.length)] as string;
    const child = children.get(name) as Child;
    if (kind === "kill" || kind === "leave") {
      if (kind === "kill") child.process.kill("SIGKILL");
      else child.tell("leave");
      expect((await child.outcome).stdout).not.toMatch(/^FAULT/m);
      spawn(name);
      await ready(name);
    } else if (kind.endsWith("cut")) {
      const ms = Math.round(kind === "cut" ? 100 + random() * 400 : 2_500);
      child.tell(`cut ${ms}`);
      await new Promise((resolve) => setTimeout(resolve, ms));
    } else if (kind === "standstill") {
      const files = NAMES.map((each) => join(folder, `lost-${each}`));
      for (const file of files) rmSync(file, { force: true });
      const keys = NAMES.map((each) => `load/${each} ${lives.get(each)}`);
      const before = keys.map((key) => (seen.get(key) as Seen).losses);
      // It is the watcher's, until the others have lost it: all that it is sent meanwhile waits in the system.
      const until = performance.now() + PATIENCE;
      while (!files.every((file) => existsSync(file))) {
        if (performance.now() > until) throw new Error("the watcher is not lost");
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      }
      const isKnown = (key: string, i: number): boolean =>
        (seen.get(key) as Seen).losses > (before[i] as number);
      await expect
        .poll(() => keys.filter((key, i) => !isKnown(key, i)), { timeout: PATIENCE, interval: 10 })
        .toEqual([]);
    } else {
      child.process.kill("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, kind === "stop" ? 100 + random() * 400 : 2_500));
      child.process.kill("SIGCONT");
    }
    await receives(name, 20);
    if (blow % 100 === 99) console.info(`${blow + 1} blows`);
    expect(faults).toEqual([]);
  }

  for (const [name, child] of children) {
    child.tell("stop");
    for (;;) {
      const line = await child.line();
      expect(line).not.toMatch(/^FAULT/);
      if (!line.startsWith("stopped")) continue;
      const [, life, sent, lost] = line.split(" ") as string[];
      const of = seen.get(`load/${name} ${life}`) as Seen;
      await expect
        .poll(() => Number(sent) - of.received, {
          timeout: PATIENCE,
          interval: 10,
          message: `missing of ${name}, ${lost} lost`,
        })
        .toBeLessThanOrEqual(Number(lost));
      break;
    }
  }
  // Everybody's interest is known, and nobody's of a dead life.
  await expect
    .poll(() => node.publish("all/end", "w 0", { self: false }), { timeout: PATIENCE })
    .toBe(NAMES.length);
  for (const child of children.values())
    for (;;) {
      const line = await child.line();
      expect(line).not.toMatch(/^FAULT/);
      if (line.startsWith("end")) break;
    }
  expect(await node.publish("load/x", "", { self: false })).toBe(0);
  expect(faults).toEqual([]);
  load.close();
  const stats = [...seen.values()];
  const sum = (of: (life: Seen) => number): number => stats.reduce((total, life) => total + of(life), 0);
  const [received, missing, lost] = [sum((of) => of.received), sum((of) => of.missing), sum((of) => of.lost)];
  console.info(
    `${BLOWS} blows: ${received} messages of ${stats.length} lives, ${missing} missing, ${lost} counted as lost`,
  );
});
