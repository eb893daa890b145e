/** Whatever a handler throws, its client gets an error, and the server goes on. */
import { once } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { ClusterNode } from "../../src/cluster/index.js";
import {
  defineService,
  FreelanceClient,
  FreelanceServer,
  MajordomoBroker,
  MajordomoClient,
  MajordomoWorker,
  ServiceError,
} from "../../src/patterns/index.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { gate } from "../support/gate.js";
import { UNREADABLE } from "../support/unreadable.js";
import { type Ask, SERVICES } from "./services.js";

const kept = closeAfterEach();

function handle([name]: readonly Buffer[]): string {
  if (String(name) === "fine") return "fine";
  if (String(name) === "mistake") return (undefined as unknown as { readonly fish: string }).fish.trim();
  if (String(name) === "object") return {} as string;
  if (String(name) === "exposed") throw Object.assign(new Error("no fish today"), { expose: true });
  throw UNREADABLE[String(name)];
}

const ANY = "tcp://127.0.0.1:*";

const servers: Readonly<Record<string, () => Promise<Ask>>> = {
  "a Freelance server": () => SERVICES.FreelanceClient(kept, { handler: handle }),
  "a Pirate's worker": () => SERVICES.LoadBalancerClient(kept, { handler: handle }),
  "a Majordomo worker": () => SERVICES.MajordomoClient(kept, { handler: handle }),
};

describe.each(Object.entries(servers))("%s", (_, start) => {
  test.each(Object.keys(UNREADABLE))("goes on after its handler threw %s", async (name) => {
    const ask = await start();
    await expect(ask(name)).rejects.toMatchObject({ code: "ERR_SERVICE", reason: "worker-failed" });
    expect((await ask("fine")).map(String)).toEqual(["fine"]);
  });
});

const WARNS: typeof servers = {
  ...servers,
  "a cluster's node": async () => {
    const node = kept(new ClusterNode({ cluster: `handlers-${process.pid}`, discovery: [] }));
    await node.start();
    node.serve("fish", (body) => handle([Buffer.from(body as string)]));
    return (body) => node.request("fish", body);
  },
};

test.each(
  Object.entries(WARNS),
)("what no one listens to, of %s, is a warning with the stack, and the client gets the message only of an error that exposes it", async (_, start) => {
  const ask = await start();
  const warned = once(process, "warning");
  const hidden = { reason: "worker-failed", message: expect.not.stringContaining("Cannot read") };
  await expect(ask("mistake")).rejects.toMatchObject(hidden);
  const [{ message }] = await warned;
  expect(message).toMatch(/"handler:failed"[\s\S]*\nTypeError: .*fish[\s\S]*\n +at .*handle /);
  await expect(ask("exposed")).rejects.toMatchObject({ message: expect.stringContaining("no fish today") });
});

test("a handler of a Majordomo worker that returns an object is a warning, and code EINVAL at the client", async () => {
  const ask = await SERVICES.MajordomoClient(kept, { handler: handle });
  const warned = once(process, "warning");
  await expect(ask("object")).rejects.toMatchObject({ reason: "worker-failed", handlerCode: "EINVAL" });
  expect(String((await warned)[0])).toContain("got object");
});

test("a reply that its contract refuses is a warning of what is wrong with it", async () => {
  const fish = defineService({
    name: "fish",
    methods: { weigh: { request: z.string(), reply: z.object({ weight: z.number() }) } },
  });
  const endpoint = await kept(new MajordomoBroker()).bind(ANY);
  kept(MajordomoWorker.serve(endpoint, fish, { weigh: () => ({ weight: "heavy" }) as never }));
  const client = kept(new MajordomoClient(endpoint));
  const warned = once(process, "warning");
  await expect(client.service(fish).weigh("eel")).rejects.toMatchObject({ reason: "invalid-reply" });
  expect(String((await warned)[0])).toMatch(/"handler:failed"[\s\S]*The reply of weigh[\s\S]*weight/);
});

afterEach(() => void vi.restoreAllMocks());

/** What the process warns of, and a server whose handlers fail so. */
function failing() {
  const warnings: string[] = [];
  vi.spyOn(process, "emitWarning").mockImplementation((text) => void warnings.push(String(text)));
  const server = kept(new FreelanceServer(handle));
  const fail = (error: Error): void => server.events.emit({ type: "handler:failed", error });
  return { warnings, server, fail };
}

test("a failure is no warning where its event has a listener, and at most ten a second", () => {
  const { warnings, server, fail } = failing();
  const now = vi.spyOn(performance, "now").mockReturnValue(1e9);
  const listener = (): void => undefined;
  server.events.on("handler:failed", listener);
  fail(new Error("heard"));
  server.events.off("handler:failed", listener);
  for (let i = 1; i <= 25; i++) fail(new Error(`no. ${i}`));
  now.mockReturnValue(1e9 + 1_000);
  fail(new Error("later\x1b[2J"));
  expect(warnings).toHaveLength(11);
  expect(warnings[0]).toContain("Error: no. 1\n");
  expect(warnings[10]).toMatch(/Error: later \[2J/);
});

test("what is meant for the client, and what fails once a server closes, is no warning", async () => {
  const { warnings, server, fail } = failing();
  fail(Object.assign(new Error("no fish today"), { expose: true }));
  fail(new ServiceError("worker-failed", "fish", "sold out"));
  expect(warnings).toEqual([]);
  fail(new Error("seen"));
  expect(warnings).toHaveLength(1);
  const closed = server.close({ linger: 0 });
  fail(new Error("late"));
  await closed;
  expect(warnings).toHaveLength(1);
});

test("a handler that rejects because its server closes has not failed", async () => {
  const { passed: running, open: begun } = gate();
  // Rejects when it is aborted, as what it calls does.
  const server = kept(
    new FreelanceServer((_, { signal }) => {
      begun();
      return new Promise<string>((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason)),
      );
    }),
  );
  const failures: unknown[] = [];
  server.events.on("handler:failed", (event) => failures.push(event));
  const client = kept(new FreelanceClient(await server.bind(ANY)));
  void client.request("x").catch(() => undefined);
  await running;
  await server.close({ linger: 0 });
  await new Promise((resolve) => setImmediate(resolve));
  expect(failures).toEqual([]);
});
