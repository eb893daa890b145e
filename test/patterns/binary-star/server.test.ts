/** The pair on real sockets: who serves, who takes over, and what clients see of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Dealer, json, Publisher, type Raw } from "../../../src/index.js";
import { BinaryStarClient } from "../../../src/patterns/binary-star/client.js";
import { BinaryStarServer, type StarHandler } from "../../../src/patterns/binary-star/server.js";
import { BinaryStar } from "../../../src/patterns/binary-star/star.js";
import { failure, texts, thrown, until, within } from "../../contract/support/wait.js";
import { type Child, start } from "../../process/child.js";

const HEARTBEAT = 100;
let folder = "";
let names = 0;
const open: { close(): Promise<unknown> }[] = [];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "shoal-star-"));
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function keep<S extends { close(): Promise<unknown> }>(one: S): S {
  open.push(one);
  return one;
}

const ipc = (): string => `ipc://${join(folder, `s${++names}`)}`;

interface Links {
  readonly primary: string;
  readonly backup: string;
}

async function startServer(
  role: "primary" | "backup",
  links: Links,
  handler: StarHandler<Raw> = (body) => `${role} ${body}`,
): Promise<BinaryStarServer> {
  const other = role === "primary" ? "backup" : "primary";
  const server = keep(
    new BinaryStarServer<Raw>({
      star: { role, bind: links[role], connect: links[other], heartbeatInterval: HEARTBEAT },
      endpoint: ipc(),
      handler,
    }),
  );
  await server.start();
  return server;
}

/** A Binary Star in a process of its own, which is not held up by what blocks this one. */
function startProcess(role: "primary" | "backup", links: Links): Child {
  const other = role === "primary" ? "backup" : "primary";
  const options = { role, bind: links[role], connect: links[other], heartbeatInterval: HEARTBEAT };
  const program = `
    import { BinaryStar } from "shoal/patterns";
    await new BinaryStar(${JSON.stringify(options)}).start();
  `;
  const child = start(program, { limit: 30_000 });
  keep({ close: () => child.kill() });
  return child;
}

function becomes(
  server: BinaryStarServer,
  type: "active" | "passive" | "waiting" | "fatal",
): Promise<unknown> {
  const happened = new Promise((resolve) => server.events.on(type, resolve));
  return within(happened, `${type} of a server in state ${server.star.state}`);
}

async function startPair() {
  const links = { primary: ipc(), backup: ipc() };
  const primary = await startServer("primary", links);
  const backup = await startServer("backup", links);
  await Promise.all([becomes(primary, "active"), becomes(backup, "passive")]);
  const client = keep(
    new BinaryStarClient([primary.endpoint as string, backup.endpoint as string], {
      attemptTimeout: 500,
      timeout: 8_000,
    }),
  );
  return { links, primary, backup, client };
}

describe("a pair", () => {
  test("has the primary serve, and the backup when the primary is gone", async () => {
    const { primary, backup, client } = await startPair();
    expect(texts(await client.request("1"))).toEqual(["primary 1"]);
    await primary.star.close(); // As if it were killed: no word to anybody.
    await primary.close({ linger: 0 });
    expect(texts(await client.request("2"))).toEqual(["backup 2"]);
    expect(client.stats()).toMatchObject({ requests: 2, replies: 2 });
    expect(backup.stats()).toMatchObject({ star: { state: "active", peer: undefined, failOvers: 1 } });
  });

  test("does not fail over without a client's request", async () => {
    const { primary, backup } = await startPair();
    const passive = backup.stats().star.statesReceived;
    await primary.close({ linger: 0 });
    // The time of eight heartbeats, by the backup's own.
    const sent = backup.stats().star.statesSent;
    await until(() => backup.stats().star.statesSent >= sent + 8, "eight heartbeats");
    expect(passive).toBeGreaterThan(0);
    expect(backup.star.state).toBe("passive");
  });

  test("drops a request to the passive server unanswered, and says so", async () => {
    const { backup } = await startPair();
    const dealer = keep(new Dealer({ linger: 0 }));
    dealer.connect(backup.endpoint as string);
    const dropped = new Promise((resolve) => backup.events.on("votes-void", resolve));
    await dealer.send(["", "hello"]);
    await within(dropped, "votes-void");
    expect(backup.stats()).toMatchObject({
      received: 1,
      served: 0,
      held: 0,
      dropped: { refused: 1, overflow: 0 },
    });
  });

  test("lets the operator fail back: requests in hand are finished, then the other serves", async () => {
    const { links, primary, backup, client } = await startPair();
    await primary.close({ linger: 0 });
    expect(texts(await client.request("1"))).toEqual(["backup 1"]);
    const again = await startServer("primary", links);
    await becomes(again, "passive");
    const moved = keep(
      new BinaryStarClient([again.endpoint as string, backup.endpoint as string], { attemptTimeout: 500 }),
    );
    await until(() => backup.stats().star.peer === "passive", "the peer is passive");
    const states = Promise.all([becomes(again, "active"), becomes(backup, "passive")]);
    await backup.handOver();
    await states;
    expect(texts(await moved.request("2"))).toEqual(["primary 2"]);
    expect(await failure(backup.handOver())).toMatchObject({ code: "EFSM" });
  });
});

describe("two masters", () => {
  test("are fenced when they hear of each other, and serve nobody until the operator resolves", async () => {
    const { links, primary, backup, client } = await startPair();
    // A rival on the backup's endpoint tells what a second master would tell.
    await backup.close({ linger: 0 });
    const rival = keep(new Publisher({ linger: 0 }));
    await rival.bind(links.backup);
    await rival.waitForSubscribers({ timeout: 5_000 });
    const fatal = becomes(primary, "fatal");
    await rival.send("3");
    expect(await fatal).toEqual({ type: "fatal", reason: "dual-active" });
    expect(primary.star.state).toBe("fenced");
    expect(await failure(client.request("1", { timeout: 700 }))).toMatchObject({ code: "ETIMEDOUT" });
    expect(primary.stats()).toMatchObject({ served: 0, star: { fences: 1 } });
    await rival.send("3");
    await rival.send("4"); // The loser was resolved.
    await until(() => primary.stats().star.peer === "passive", "the peer is passive");
    primary.star.resolve("active");
    expect(texts(await client.request("2"))).toEqual(["primary 2"]);
    expect(thrown(() => primary.star.resolve("active"))).toMatchObject({ code: "EFSM" });
  });

  test("what is no state is counted, and changes nothing", async () => {
    const { links, primary, backup } = await startPair();
    await backup.close({ linger: 0 });
    const stranger = keep(new Publisher({ linger: 0 }));
    await stranger.bind(links.backup);
    await stranger.waitForSubscribers({ timeout: 5_000 });
    for (const junk of ["", "0", "5", "33", "\x03", ["3", "3"]]) await stranger.send(junk);
    await until(() => primary.stats().star.invalid === 6, "six invalid states");
    expect(primary.star.state).toBe("active");
  });
});

describe("a handler", () => {
  test("that fails is answered for with an error, and the server goes on", async () => {
    const links = { primary: ipc(), backup: ipc() };
    const failing = (body: Buffer[]): string => {
      if (String(body) === "bad") throw new Error("no such thing");
      return String(body) === "odd" ? ({} as string) : "fine";
    };
    const primary = await startServer("primary", links, failing);
    const client = keep(
      new BinaryStarClient([primary.endpoint as string, ipc()], { attemptTimeout: 2_000, timeout: 8_000 }),
    );
    expect(texts(await client.request("bad"))).toEqual(["ERROR", "no such thing"]);
    expect(texts(await client.request("odd")).at(0)).toBe("ERROR");
    expect(texts(await client.request("good"))).toEqual(["fine"]);
    expect(primary.stats()).toMatchObject({ failed: 2, inHand: 0 });
  });

  test.each([
    1.5, 10,
  ])("that blocks its process for %d heartbeats is waited for, and its reply leaves", async (beats) => {
    const links = { primary: ipc(), backup: ipc() };
    let handled = 0;
    const busy = (body: Buffer[]): string => {
      handled += 1;
      const end = performance.now() + beats * HEARTBEAT;
      while (performance.now() < end);
      return String(body);
    };
    const primary = await startServer("primary", links, busy);
    const client = keep(
      new BinaryStarClient([primary.endpoint as string, ipc()], {
        attemptTimeout: 20 * HEARTBEAT,
        timeout: 100 * HEARTBEAT,
      }),
    );
    for (const word of ["1", "2"]) expect(texts(await client.request(word))).toEqual([word]);
    expect(handled).toBe(2);
    expect(primary.stats()).toMatchObject({ replied: 2, repliesDropped: { notServing: 0, unroutable: 0 } });
    expect(primary.star.term).toBe(1);
  });

  test("that blocks its process does not make the pair change places", async () => {
    const links = { primary: ipc(), backup: ipc() };
    const backup = startProcess("backup", links);
    const primary = await startServer("primary", links, (body) => {
      const end = performance.now() + 1.5 * HEARTBEAT;
      while (performance.now() < end);
      return String(body);
    });
    await until(() => primary.stats().star.peer === "passive", "a pair");
    const client = keep(
      new BinaryStarClient([primary.endpoint as string, ipc()], {
        attemptTimeout: 20 * HEARTBEAT,
        timeout: 100 * HEARTBEAT,
      }),
    );
    for (const word of ["1", "2", "3"]) expect(texts(await client.request(word))).toEqual([word]);
    expect([primary.star.term, primary.stats().star.stalls > 0]).toEqual([1, true]);
    expect(primary.stats().star.peer).toBe("passive");
    await backup.kill();
  });

  test("takes and gives values, with a codec", async () => {
    const codec = json<{ n: number }>();
    const server = keep(
      new BinaryStarServer({
        star: { role: "primary", bind: ipc(), connect: ipc(), heartbeatInterval: HEARTBEAT },
        endpoint: ipc(),
        handler: ({ n }) => ({ n: n + 1 }),
        socketOptions: { codec },
      }),
    );
    await server.start();
    const client = keep(
      new BinaryStarClient([server.endpoint as string, ipc()], { attemptTimeout: 2_000, codec }),
    );
    expect(await client.request({ n: 1 })).toEqual({ n: 2 });
  });

  test("whose server is fenced meanwhile has no reply sent", async () => {
    const links = { primary: ipc(), backup: ipc() };
    let finish: (reply: string) => void = () => undefined;
    const begun = new Promise<void>((begin) => {
      void startServer("primary", links, (() => {
        begin();
        return new Promise<string>((resolve) => {
          finish = resolve;
        });
      }) as never);
    });
    const rival = keep(new Publisher({ linger: 0 }));
    await rival.bind(links.backup);
    const dealer = keep(new Dealer({ linger: 0 }));
    await rival.waitForSubscribers({ timeout: 5_000 });
    const primary = open[0] as BinaryStarServer;
    dealer.connect(primary.endpoint as string);
    await dealer.send(["", "work"]);
    await within(begun, "the handler's begin");
    const fatal = becomes(primary, "fatal");
    // For a heartbeat after its take-over it could be the word of a peer in doubt.
    const telling = setInterval(() => rival.trySend("3"), HEARTBEAT / 2);
    await fatal.finally(() => clearInterval(telling));
    finish("done");
    await until(() => primary.stats().repliesDropped.notServing === 1, "a dropped reply");
    expect(primary.stats().replied).toBe(0);
  });
});

describe("options", () => {
  const star = { role: "primary", bind: "tcp://127.0.0.1:*", connect: "tcp://127.0.0.1:9" } as const;
  test.each([
    ["an unknown one", { ...star, heartbeat: 5 }],
    ["an unknown role", { ...star, role: "third" }],
    ["no endpoint", { ...star, connect: "" }],
    ["an interval of 0", { ...star, heartbeatInterval: 0 }],
    ["a patience of one heartbeat", { ...star, liveness: 1 }],
  ])("%s is refused", (_, options) => {
    expect(thrown(() => new BinaryStar(options as never))).toMatchObject({ code: "EINVAL" });
  });

  test("a client of one server is refused", () => {
    expect(thrown(() => new BinaryStarClient(["tcp://127.0.0.1:9"] as never))).toMatchObject({
      code: "EINVAL",
    });
  });
});
