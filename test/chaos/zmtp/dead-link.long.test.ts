/**
 * A link that is cut, between two network namespaces of this machine: the heartbeats of both ends notice, where TCP would take
 * minutes, and a sender whose peer has a full queue waits for that peer as long as the link stands.
 */
import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Child, type ChildOptions, ROOT } from "../../process/child.js";

const INTERVAL = 200;
const TIMEOUT = 1_000;
const LEFT = `shoal-l-${process.pid}`;
const RIGHT = `shoal-r-${process.pid}`;
const ADDRESS = "10.213.7";

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
    ip("-n", LEFT, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", RIGHT);
    ip("-n", LEFT, "addr", "add", `${ADDRESS}.1/30`, "dev", "near");
    ip("-n", RIGHT, "addr", "add", `${ADDRESS}.2/30`, "dev", "far");
    link("up");
  } catch (error) {
    removeNamespaces();
    return `no network namespaces here: ${(error as Error).message.trim()}`;
  }
  return undefined;
}

function link(state: "up" | "down"): void {
  ip("-n", LEFT, "link", "set", "near", state);
  ip("-n", RIGHT, "link", "set", "far", state);
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

/** Reports its peer's coming and going. */
const COMMON = `
  socket.events.on("peer:join", () => console.log("join"));
  socket.events.on("disconnect", ({ reason }) => console.log("left " + reason));
`;
const PULL = `
  import { Context, Pull } from "shoal";
  const [heartbeatInterval, heartbeatTimeout, receiveHighWaterMark] = process.argv.slice(1).map(Number);
  const context = new Context({ engine: "zmtp" });
  const socket = new Pull({ context, heartbeatInterval, heartbeatTimeout, receiveHighWaterMark });
  ${COMMON}
  await socket.bind("tcp://${ADDRESS}.2:5555");
  console.log("bound");
  await new Promise(() => undefined);
`;
const PUSH = `
  import { Context, Push } from "shoal";
  const [heartbeatInterval, heartbeatTimeout, count] = process.argv.slice(1).map(Number);
  const socket = new Push({ context: new Context({ engine: "zmtp" }), heartbeatInterval, heartbeatTimeout, linger: 0 });
  ${COMMON}
  socket.connect("tcp://${ADDRESS}.2:5555");
  for (let i = 0; i < count; i++) await socket.send(Buffer.alloc(1_000_000));
  console.log("sent");
  await new Promise(() => undefined);
`;

function startIn(namespace: string, source: string, ...args: number[]): Child {
  const options: ChildOptions = { cwd: ROOT, limit: 30_000 };
  const node = ["--input-type=module", "-e", source, ...args.map(String)];
  return new Child("ip", ["netns", "exec", namespace, process.execPath, ...node], options);
}

describe.skipIf(missing !== undefined)("a link that is cut", () => {
  const children: Child[] = [];
  beforeAll(() => link("up"));
  afterAll(async () => {
    await Promise.all(children.map((child) => (child.running ? child.kill() : undefined)));
    removeNamespaces();
  });

  async function left(child: Child): Promise<string> {
    for (;;) {
      const line = await child.line();
      if (line.startsWith("left ")) return line;
    }
  }

  it("is noticed by both ends, idle; and by the sender of a receiver that had not read for long", async () => {
    const pull = startIn(RIGHT, PULL, INTERVAL, TIMEOUT, 0);
    children.push(pull);
    await pull.heard("bound");
    const push = startIn(LEFT, PUSH, INTERVAL, TIMEOUT, 0);
    children.push(push);
    await Promise.all([pull.heard("join"), push.heard("sent"), push.heard("join")]);
    link("down");
    expect(await Promise.all([left(push), left(pull)])).toEqual(["left heartbeat", "left heartbeat"]);
    await Promise.all(children.splice(0).map((child) => child.kill()));

    link("up");
    const full = startIn(RIGHT, PULL, INTERVAL, TIMEOUT, 1);
    children.push(full);
    await full.heard("bound");
    // The receiver takes none of them: the kernels' buffers are full, and the window is closed.
    const sender = startIn(LEFT, PUSH, INTERVAL, TIMEOUT, 40);
    children.push(sender);
    await Promise.all([full.heard("join"), sender.heard("sent")]);
    const slow = performance.now();
    let gone = false;
    const leaving = left(sender).finally(() => {
      gone = true;
    });
    // Alive, as its own PINGs show, and so kept.
    while (performance.now() - slow < 2 * TIMEOUT) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(gone).toBe(false);
    link("down");
    expect(await leaving).toBe("left heartbeat");
  }, 30_000);
});
