/**
 * A way between two nodes that swallows every packet of their links in one direction, while those of the membership pass: in two network
 * namespaces, one of which drops the TCP that comes. To one node's link its items vanish, to the other's the acknowledgements of its own.
 */
import { execFileSync } from "node:child_process";
import { afterAll, describe, expect, it } from "vitest";
import { Child, type ChildOptions, ROOT } from "../process/child.js";

const HEARTBEAT = 500;
/**
 * Times are counted in turns of the program's own, of so many ms: where it has no processor there are none. The other node may wait for
 * its own. Without heartbeats it would be minutes.
 */
const TURN = 100;
const STEPS = 120;
const LEFT = `shoal-h-${process.pid}`;
const RIGHT = `shoal-i-${process.pid}`;
const ADDRESS = { [LEFT]: "10.213.11.1", [RIGHT]: "10.213.11.2" };

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"], timeout: 10_000 });
}

/** @returns why there are none */
function makeNamespaces(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0)
    return "network namespaces take Linux and root";
  try {
    ip("netns", "add", LEFT);
    ip("netns", "add", RIGHT);
    ip("-n", LEFT, "link", "add", "near", "type", "veth", "peer", "name", "near", "netns", RIGHT);
    for (const [namespace, address] of Object.entries(ADDRESS)) {
      ip("-n", namespace, "addr", "add", `${address}/30`, "dev", "near");
      ip("-n", namespace, "link", "set", "near", "up");
      ip("-n", namespace, "link", "set", "lo", "up");
    }
    // A link counts as up a while after both of its ends.
    for (const namespace of [LEFT, RIGHT])
      while (!execFileSync("ip", ["-n", namespace, "link", "show", "near"]).includes("state UP"));
    // Rules before that of local addresses.
    ip("-n", RIGHT, "rule", "add", "pref", "10", "lookup", "local");
    ip("-n", RIGHT, "rule", "del", "pref", "0");
    swallow(true);
    swallow(false);
  } catch (error) {
    removeNamespaces();
    return `no network namespaces here: ${(error as Error).message.trim()}`;
  }
  return undefined;
}

function swallow(on: boolean): void {
  if (on) ip("-n", RIGHT, "rule", "add", "pref", "5", "iif", "near", "ipproto", "tcp", "blackhole");
  else ip("-n", RIGHT, "rule", "del", "pref", "5");
}

/** Those that were made. */
function removeNamespaces(): void {
  for (const namespace of [LEFT, RIGHT]) {
    try {
      ip("netns", "del", namespace);
    } catch {
      // It was not.
    }
  }
}

const missing = makeNamespaces();
if (missing !== undefined) console.log(`skipped: ${missing}`);

const PROGRAM = `
  import { ClusterNode } from "shoal/cluster";
  const [name, host, seed, heartbeat] = process.argv.slice(1);
  let turns = 0;
  const turn = () => {
    turns += 1;
    setTimeout(turn, ${TURN});
  };
  turn();
  const say = (...words) => console.log(words.join(" "));
  const node = new ClusterNode({
    name, scope: "link", key: "k".repeat(40), interface: host, port: 7801, multicast: false, registry: false, seeds: seed === "" ? [] : [seed + ":7801"],
    messaging: { protocols: ["tcp"], heartbeat: Number(heartbeat) },
  });
  for (const type of ["lost", "suspect"]) node.events.on(type, ({ member }) => say(type, member.name));
  node.events.on("protocol:failed", ({ reason }) => say("failed", turns, reason));
  await node.start();
  process.stdin.setEncoding("utf8").on("data", (word) => {
    const at = turns;
    void node.publish("words/" + name, name + "-" + word.trim(), { self: false }).then((count) => say("sent", word.trim(), at, count));
  });
  say("ready");
  while (node.members({ self: false }).length === 0) await new Promise((resolve) => node.events.once("joined", resolve));
  // The other one is there, and has it when it is ready.
  await node.subscribe("words/#", ({ data }) => say("got", data)).ready;
  say("joined");
`;

function startIn(namespace: string, name: string, seed: string): Child {
  const options: ChildOptions = { cwd: ROOT, limit: 40_000 };
  const args = [name, ADDRESS[namespace] as string, seed, String(HEARTBEAT)];
  const node = [process.execPath, "--input-type=module", "-e", PROGRAM, ...args];
  return new Child("ip", ["netns", "exec", namespace, ...node], options);
}

describe.skipIf(missing !== undefined)(
  "a way that swallows what links send, and not what the membership does",
  () => {
    const children: Child[] = [];
    afterAll(async () => {
      await Promise.all(children.map((child) => (child.running ? child.kill() : undefined)));
      removeNamespaces();
    });

    it("is noticed by the link in either direction within two heartbeats of a message, and costs none", async () => {
      const left = startIn(LEFT, "left", "");
      children.push(left);
      await left.heard("ready");
      const right = startIn(RIGHT, "right", ADDRESS[LEFT] as string);
      children.push(right);
      const others = new Map([
        [left, "right"],
        [right, "left"],
      ]);
      const lines = new Map<Child, string[]>([
        [left, []],
        [right, []],
      ]);
      /** Until a line begins so, if none has. @returns the rest of it */
      async function until(child: Child, begin: string): Promise<string> {
        const had = lines.get(child) as string[];
        for (;;) {
          const found = had.find((line) => line.startsWith(begin));
          if (found !== undefined) return found.slice(begin.length);
          had.push(await child.line());
        }
      }
      /** Publishes at both. @returns in which turn each did */
      async function say(word: string): Promise<number[]> {
        const both = [left, right];
        for (const child of both) child.process.stdin?.write(`${word}\n`);
        return Promise.all(
          both.map(async (child) => Number((await until(child, `sent ${word} `)).split(" ")[0])),
        );
      }
      await Promise.all([until(left, "joined"), until(right, "joined")]);
      await say("first");
      await Promise.all([...others].map(([child, other]) => until(child, `got ${other}-first`)));

      swallow(true);
      const sent = await say("second");
      const failed = await Promise.all([left, right].map((child) => until(child, "failed ")));
      failed.forEach((words, i) => {
        const [at, reason] = words.split(" ");
        expect(reason).toBe("heartbeat");
        expect(Number(at) - (sent[i] as number)).toBeLessThan((2 * HEARTBEAT) / TURN + STEPS);
      });
      swallow(false);
      // Where nothing of the link came, what was said there comes now; each once.
      await until(right, "got left-second");
      await say("third");
      await Promise.all([...others].map(([child, other]) => until(child, `got ${other}-third`)));
      for (const [child, other] of others) {
        const had = (lines.get(child) as string[]).filter((line) => /^(got|lost|suspect) /.test(line));
        expect(had).toEqual(["first", "second", "third"].map((word) => `got ${other}-${word}`));
      }
    }, 40_000);
  },
);
