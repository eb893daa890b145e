/** How many peers a socket takes, and how many it asks the program about at once. */
import { describe, expect, it } from "vitest";
import { NO_CURVE } from "../../../src/browser/parts.js";
import { optionValues } from "../../../src/core/option-table.js";
import type { PeerCredentials } from "../../../src/engine/engine.js";
import { Admission } from "../../../src/engine/zmtp/admission.js";
import { MAX_ORPHANED_PIPES } from "../../../src/engine/zmtp/routing/routing.js";
import type { SocketState } from "../../../src/engine/zmtp/socket-state.js";
import type { Pull } from "../../../src/index.js";
import { nextEvent, until } from "../../contract/support/wait.js";
import { command, frame, greeting, type RawPeer } from "../../contract/support/zmtp-peer.js";
import { HostileWorld, quiet } from "./support/hostile-world.js";
import { shaken } from "./support/raw-server.js";

const world = new HostileWorld();

/** A hook that answers when a test says so. */
function hook() {
  const open: ((allowed: boolean) => void)[] = [];
  const state = { calls: 0, running: 0, most: 0 };
  const authenticate = (): Promise<boolean> => {
    state.calls += 1;
    state.running += 1;
    state.most = Math.max(state.most, state.running);
    return new Promise<boolean>((resolve) => {
      open.push((allowed) => {
        state.running -= 1;
        resolve(allowed);
      });
    });
  };
  return { state, authenticate, answer: (allowed: boolean) => open.shift()?.(allowed) };
}

async function getsIn(pull: Pull, endpoint: string): Promise<void> {
  const push = world.connect(world.push({ reconnectInterval: 5 }), endpoint);
  await push.send("in");
  expect(String(await pull.receive({ timeout: 8_000 }))).toBe("in");
}

describe("connections", () => {
  it("past maxConnections are refused, and reported; who leaves makes room", async () => {
    const pull = world.pull({ maxConnections: 2 });
    const endpoint = await world.bind(pull);
    const peers: RawPeer[] = [];
    for (let i = 0; i < 2; i++) peers.push(await shaken(world, endpoint, "PUSH"));
    await until(() => pull.stats().peers === 2, "two peers");
    const refused = nextEvent(pull, "accept:error");
    const third = await world.raw(endpoint);
    await third.closed;
    const { error } = await refused;
    expect(error).toMatchObject({ code: "EMFILE" });
    expect(error.message).toContain("maxConnections");
    expect(pull.stats().peers).toBe(2);
    peers[0]?.destroy();
    await until(() => pull.stats().peers === 1, "one peer");
    await getsIn(pull, endpoint);
  });

  it("that only stand and say nothing keep nobody out", async () => {
    const pull = world.pull({ maxConnections: 3, handshakeInterval: 0 });
    const endpoint = await world.bind(pull);
    const idle = await Promise.all([1, 2, 3].map(async () => await world.raw(endpoint)));
    const left = Promise.race(idle.map(({ closed }) => closed));
    await getsIn(pull, endpoint);
    await left;
  });

  it("of a STREAM count, too", async () => {
    const stream = world.stream({ maxConnections: 1, notify: false });
    const endpoint = await world.bind(stream);
    const first = await world.raw(endpoint);
    await until(() => stream.stats().peers === 1, "a peer");
    const refused = nextEvent(stream, "accept:error");
    const second = await world.raw(endpoint);
    await second.closed;
    expect((await refused).error).toMatchObject({ code: "EMFILE" });
    first.destroy();
    await until(() => stream.stats().peers === 0, "nobody");
    await world.raw(endpoint);
    await until(() => stream.stats().peers === 1, "another peer");
  });
});

it("peers that leave unread messages keep newcomers out, until the program takes some", async () => {
  const pull = world.pull({ backlog: 1_024 });
  const endpoint = await world.bind(pull);
  let refused = 0;
  pull.events.on("accept:error", ({ error }) => {
    refused += error.code === "EMFILE" ? 1 : 0;
  });
  const visit = async (): Promise<void> => {
    const peer = await shaken(world, endpoint, "PUSH");
    peer.write(frame("left behind"));
    peer.socket.end();
    await peer.closed;
  };
  for (let i = 0; i < MAX_ORPHANED_PIPES / 64; i++) await Promise.all(Array.from({ length: 64 }, visit));
  while (pull.stats().receiveQueued < MAX_ORPHANED_PIPES || (pull.stats().peers ?? 0) > 0) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const push = world.push({ reconnectInterval: 10, reconnectMaxInterval: 20 });
  const retried = nextEvent(push, "connect:retry");
  push.connect(endpoint);
  await retried;
  expect(refused).toBeGreaterThan(0);
  expect(pull.stats().receiveQueued).toBe(MAX_ORPHANED_PIPES);
  await pull.receive();
  await push.ready({ timeout: 8_000 });
}, 120_000);

describe("the program's hook", () => {
  it("is never asked about more peers at once than may shake hands, however many come and leave", async () => {
    const { state, authenticate, answer } = hook();
    const pull = world.pull({ maxPendingHandshakes: 3, authenticate });
    const endpoint = await world.bind(pull);
    for (let i = 0; i < 12; i++) {
      const peer = await shaken(world, endpoint, "PUSH");
      if (i < 3) await until(() => state.calls === i + 1, "the question");
      peer.destroy();
    }
    const push = world.connect(world.push(), endpoint);
    const sent = push.send("in");
    // The questions about those that left still run; no other was asked at the same time.
    expect([state.calls, state.running]).toEqual([3, 3]);
    for (let i = 0; i < 3; i++) answer(true);
    await until(() => state.calls > 3, "the next question");
    // Some of those that left may be asked about, and come and go, before the one that sends.
    let came: string | undefined;
    void pull.receive().then((message) => {
      came = String(message);
    });
    await until(() => {
      answer(true);
      return came !== undefined;
    }, "the message");
    await sent;
    expect(came).toBe("in");
    expect(state.most).toBe(3);
  });

  it("is asked about others when it has not answered for as long as a handshake may take", async () => {
    let asked = 0;
    const never = new Promise<boolean>(() => undefined);
    const authenticate = (): Promise<boolean> => {
      asked += 1;
      return asked > 2 ? Promise.resolve(true) : never;
    };
    const pull = world.pull({ maxPendingHandshakes: 2, handshakeInterval: 1_000, authenticate });
    const endpoint = await world.bind(pull);
    for (let i = 0; i < 2; i++) {
      await shaken(world, endpoint, "PUSH");
      await until(() => asked === i + 1, "the question");
    }
    await getsIn(pull, endpoint);
  });

  it("is asked about peers in their order, not about those that left, and on after it has failed", async () => {
    const { state, authenticate, answer } = hook();
    const asked: string[] = [];
    const engineAuthenticate = (peer: PeerCredentials): Promise<boolean> => {
      asked.push(peer.address);
      const answer = authenticate();
      return peer.address === "b" ? answer.then(() => Promise.reject(new Error("no"))) : answer;
    };
    const socket = {
      type: "Pull",
      options: optionValues({ maxPendingHandshakes: 1, handshakeInterval: 0 }),
      listener: { engineAuthenticate },
    };
    const admission = new Admission(socket as unknown as SocketState, { curve: NO_CURVE });
    const keys = new Map(["a", "b", "c", "d"].map((name) => [name, { name }]));
    const ask = (address: string) =>
      admission.authenticate(
        keys.get(address) as object,
        { mechanism: "NULL", address, domain: "" },
        () => undefined,
      );
    const answers = ["a", "b", "c", "d"].map((address) => ask(address).catch((error) => error.message));
    admission.forget(keys.get("c") as object);
    expect(asked).toEqual(["a"]);
    answer(false);
    expect(await answers[0]).toBe(false);
    expect(asked).toEqual(["a", "b"]);
    answer(true);
    expect(await answers[1]).toBe("no");
    await until(() => asked.length === 3, "the third question");
    answer(true);
    expect(await answers[3]).toBe(true);
    expect(asked).toEqual(["a", "b", "d"]);
    expect(state.running).toBe(0);
  });

  it("has answers that count, however many peers come meanwhile", async () => {
    const { state, authenticate, answer } = hook();
    const pull = world.pull({ maxPendingHandshakes: 2, authenticate });
    const endpoint = await world.bind(pull);
    const evicted = nextEvent(pull, "handshake:error:other");
    for (let i = 0; i < 8; i++) {
      const peer = await world.raw(endpoint);
      peer.handshake("PUSH").catch(() => undefined);
      if (i < 2) await until(() => state.calls === i + 1, "the question");
    }
    await evicted;
    answer(true);
    answer(true);
    await until(() => pull.stats().peers === 2, "both peers");
    await until(() => state.calls === 4, "the questions about peers that waited");
    answer(true);
    answer(true);
    await until(() => pull.stats().peers === 4, "two more");
  });

  it("has no answers by which peers hold places that say nothing after HELLO", async () => {
    const { state, authenticate, answer } = hook();
    const pull = world.pull({ maxPendingHandshakes: 2, plainServer: true, authenticate });
    const endpoint = await world.bind(pull);
    let left = 0;
    for (let i = 0; i < 6; i++) {
      const peer = await world.raw(endpoint);
      void peer.closed.then(() => void left++);
      peer.write(Buffer.concat([greeting("PLAIN"), command("HELLO", "\u0001u\u0001p")]));
      await until(() => state.calls === i + 1, "the question");
      answer(true);
    }
    await until(() => left === 4, "the end of those that are too many");
  });

  it("has a peer wait that it authenticates: it is read no further than what is kept ahead", async () => {
    const { state, authenticate, answer } = hook();
    const pull = world.pull({ authenticate });
    const peer = await shaken(world, pull, "PUSH");
    await until(() => state.calls === 1, "the question");
    const body = Buffer.alloc(1_048_585, "x");
    body.writeBigUInt64BE(1_048_576n, 1);
    body[0] = 2;
    let written = 0;
    for (let i = 0; i < 60; i++) peer.socket.write(body, () => void written++);
    // What two kernels keep, and 65,536 bytes: not the 60 MiB.
    expect(await quiet(() => written)).toBeLessThan(30);
    answer(true);
    for (let i = 0; i < 60; i++) await pull.receive({ timeout: 8_000 });
  });
});
