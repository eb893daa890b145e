import { existsSync } from "node:fs";
import { expect, it } from "vitest";
import { quoted } from "../../src/core/arguments.js";
import type { ShoalError } from "../../src/core/errors.js";
import { RUNTIME } from "../support/engines.js";
import { describeEngines, describeTransports, itIf } from "./support/engines.js";
import { arrives, collect, failure, thrown, within } from "./support/wait.js";

/** One of each kind; core/schemes has all of them. */
const BAD_ANYWHERE: unknown[] = [
  "",
  "127.0.0.1:5555",
  "tcp://127.0.0.1:65536",
  "tcp://127.0.0.1:5\0",
  "ipc://",
  5,
  // Their text is an endpoint.
  ["tcp://127.0.0.1:1"],
  new URL("tcp://127.0.0.1:1"),
];

describeTransports("bind", (world) => {
  it("gives the endpoint that peers connect to, also at once", async () => {
    const [pull, second] = [world.pull(), world.pull()];
    const bound = await pull.bind(world.freeEndpoint());
    expect(bound).toBe(pull.lastEndpoint);
    expect(bound).not.toContain("*");
    expect(second.bindSync(world.freeEndpoint())).toBe(second.lastEndpoint);
    const push = world.connect(world.push(), bound);
    await arrives("x", push, pull);
  });
});

describeEngines("endpoints", (world) => {
  it("that are invalid are refused with what was expected and what came, before anything happens", async () => {
    const push = world.push();
    for (const endpoint of BAD_ANYWHERE) {
      const errors = [
        await failure(push.bind(endpoint as string)),
        thrown(() => push.bindSync(endpoint as string)),
        thrown(() => push.connect(endpoint as string)),
      ];
      for (const error of errors) {
        expect(error.code, String(endpoint)).toBe("EINVAL");
        if (typeof endpoint === "string") expect(error.message).toContain(quoted(endpoint));
        const named = (error as ShoalError).endpoint;
        expect(named).toBe(typeof endpoint === "string" ? endpoint : undefined);
      }
    }
    for (const endpoint of ["tcp://*:5555", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "ipc://*"])
      expect(thrown(() => push.connect(endpoint)).code, endpoint).toBe("EINVAL");
    expect((await failure(push.bind("tcp://127.0.0.1:0;127.0.0.1:5555"))).code).toBe("EINVAL");
    expect(push.lastEndpoint).toBeNull();
    expect(push.trySend("nobody")).toBe(false);
  });

  it("that this machine does not have are refused by the system's own code", async () => {
    const pull = world.pull();
    // Deno reports EINVAL.
    const code = RUNTIME === "deno" ? "EINVAL" : "EADDRNOTAVAIL";
    expect((await failure(pull.bind("tcp://192.0.2.1:5555"))).code).toBe(code);
    const folder = await failure(pull.bind(`ipc://${world.folder}/no/such/folder`));
    expect(folder).toMatchObject({ code: "ENOENT", endpoint: `ipc://${world.folder}/no/such/folder` });
    expect(pull.lastEndpoint).toBeNull();
  });

  it("the system chooses a port, and lastEndpoint reports it", async () => {
    const pull = world.pull();
    for (const wildcard of ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0"]) {
      await pull.bind(wildcard);
      expect(pull.lastEndpoint).toMatch(/^tcp:\/\/127\.0\.0\.1:[1-9]\d*$/);
    }
    await pull.bind("tcp://*:*");
    const port = /:(\d+)$/.exec(pull.lastEndpoint as string)?.[1];
    const push = world.connect(world.push(), `tcp://localhost:${port}`);
    expect(push.lastEndpoint).toBe(`tcp://localhost:${port}`);
    await arrives("by name", push, pull);
  });

  it("ipc makes a file, and a temporary one for *", async () => {
    const pull = world.pull();
    const path = `${world.folder}/file`;
    await pull.bind(`ipc://${path}`);
    expect(existsSync(path)).toBe(true);
    await pull.bind("ipc://*");
    expect(pull.lastEndpoint).toMatch(/^ipc:\/\/.+/);
    const push = world.connect(world.push(), pull.lastEndpoint as string);
    await arrives("x", push, pull);
  });
});

describeTransports("endpoints", (world) => {
  itIf(
    world.engine,
    (world.transport !== "ipc" || world.engine !== "libzmq") && world.transport !== "threads",
    "libzmq takes an ipc path over in silence, and contexts of one thread do not ask each other",
  )("in use are EADDRINUSE, which says which", async () => {
    const [first, second] = [world.pull(), world.pull()];
    const endpoint = await world.bind(first);
    for (let i = 0; i < 2; i++) {
      const error = await failure(second.bind(endpoint));
      expect(error).toMatchObject({ code: "EADDRINUSE", endpoint });
      expect(error.message).toContain(endpoint);
    }
    expect(second.lastEndpoint).toBeNull();
    expect((await failure(first.bind(endpoint))).code).toBe("EADDRINUSE");
    const push = world.connect(world.push(), endpoint);
    await arrives("to the first", push, first);
  });

  it("unbind frees the endpoint for others; no peer is lost by it", async () => {
    const [pull, push, next] = [world.pull(), world.push(), world.pull()];
    const endpoint = await world.link(pull, push);
    await arrives("before", push, pull);
    await pull.unbind(endpoint);
    await next.bind(endpoint);
    // Engines differ in whether the connection stays, or is made again to who binds next; then what was on its
    // way may be lost.
    const stop = new AbortController();
    const { signal } = stop;
    const waits = [pull, next].map((socket) => socket.receive({ signal, timeout: 8_000 }));
    for (const wait of waits) wait.catch(() => undefined);
    let got: Buffer[] | undefined;
    const arrived = Promise.race(waits).then((message) => {
      got = message;
    });
    while (got === undefined) {
      push.trySend("after");
      await Promise.race([arrived, new Promise((resolve) => setTimeout(resolve, 5))]);
    }
    stop.abort();
    expect(String(got)).toBe("after");
    const late = world.connect(world.push(), endpoint);
    await late.send("to the next");
    while ((await collect(next, 1))[0] !== "to the next");
  });

  it("that were never bound or connected cannot be left, and nothing else is", async () => {
    const [pull, push] = [world.pull(), world.push()];
    const endpoint = await world.link(pull, push);
    const other = world.overTcp ? `${world.transport}://127.0.0.1:9` : `${endpoint}-other`;
    expect(await failure(pull.unbind(other))).toMatchObject({ code: "ENOENT", endpoint: other });
    expect(thrown(() => push.disconnect(other))).toMatchObject({ code: "ENOENT", endpoint: other });
    // What is bound cannot be disconnected, and what is connected not unbound.
    expect(thrown(() => pull.disconnect(endpoint)).code).toBe("ENOENT");
    expect((await failure(push.unbind(endpoint))).code).toBe("ENOENT");
    await arrives("still here", push, pull);
    await pull.unbind(endpoint);
    expect((await failure(pull.unbind(endpoint))).code).toBe("ENOENT");
  });

  it("an endpoint with nobody behind it gets its turn of the messages, and keeps them for who comes", async () => {
    const [push, alive, late] = [world.push({ reconnectInterval: 10 }), world.pull(), world.pull()];
    const nobody = await world.bind(late);
    await late.unbind(nobody);
    push.connect(await world.bind(alive));
    await push.ready({ timeout: 8_000 });
    push.connect(nobody);
    for (let i = 0; i < 10; i++) await push.send(`${i}`);
    const got = await collect(alive, 5);
    expect(alive.readable).toBe(false);
    await late.bind(nobody);
    expect([...got, ...(await collect(late, 5))].sort()).toEqual(
      Array.from({ length: 10 }, (_, i) => `${i}`),
    );
  });

  it("immediate: only a peer that is there is sent to", async () => {
    const push = world.push({ immediate: true });
    const pull = world.pull();
    const endpoint = await world.bind(pull);
    await pull.unbind(endpoint);
    if (world.inProcess) {
      // No connection attempt there: a queue stands from connect on.
      push.connect(endpoint);
      expect(push.trySend("queued")).toBe(true);
      return;
    }
    push.connect(endpoint);
    expect(push.trySend("nobody is there")).toBe(false);
    const eager = world.connect(world.push(), endpoint);
    expect(eager.trySend("queued")).toBe(true);
    const waiting = push.send("now");
    await pull.bind(endpoint);
    await within(waiting, "the send");
    expect((await collect(pull, 2)).sort()).toEqual(["now", "queued"]);
  });
});
