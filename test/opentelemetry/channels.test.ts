/** Channels of node:diagnostics_channel, without OpenTelemetry: what sockets and services publish, what a subscriber may do, and what nobody costs. */
import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { expect, it, onTestFinished } from "vitest";
import type { ProcessOperation, RequestOperation } from "../../src/core/diagnostics.js";
import { Dealer, Pull, Push, Router } from "../../src/index.js";
import { MajordomoBroker, MajordomoClient, MajordomoWorker } from "../../src/patterns/index.js";
import { Client, Radio, Server } from "../../src/sockets/draft/index.js";
import type { ReceivedMessage, SendOperation } from "../../src/sockets/observation.js";
import { closeAfterEach } from "../support/close-after-each.js";
import { CHANNELS } from "./support/collector.js";

const own = closeAfterEach();

function on<T>(name: string, listener: (message: T) => void): void {
  subscribe(name, listener as (message: unknown) => void);
  onTestFinished(() => void unsubscribe(name, listener as (message: unknown) => void));
}

it("has each message that a socket sends and receives", async () => {
  const [push, pull] = [own(new Push()), own(new Pull())];
  push.connect(await pull.bind("tcp://127.0.0.1:*"));
  const seen: unknown[] = [];
  const got: unknown[] = [];
  on<SendOperation>("shoal.send.start", ({ socket, socketType, bytes, message }) => {
    seen.push(["start", socket === push, socketType, bytes, message]);
  });
  on<SendOperation>("shoal.send.end", ({ error }) => void seen.push(["end", error]));
  on<ReceivedMessage>("shoal.receive", ({ socket, socketType, message, bytes }) => {
    seen.push(["receive", socket === pull, socketType, bytes]);
    got.push(message);
  });
  await push.send(["two", "frames"]);
  const message = await pull.receive();
  expect(push.trySend("three")).toBe(true);
  const [more] = await pull.receiveMany();
  expect(seen).toEqual([
    ["start", true, "Push", 9, ["two", "frames"]],
    ["end", undefined],
    ["receive", true, "Pull", 9],
    ["start", true, "Push", 5, "three"],
    ["end", undefined],
    ["receive", true, "Pull", 5],
  ]);
  expect(got[0]).toBe(message);
  expect(got[1]).toBe(more);
});

it("has the messages of draft sockets, and those that a Router delivers", async () => {
  const [server, client, radio] = [own(new Server()), own(new Client()), own(new Radio())];
  const [router, dealer] = [own(new Router()), own(new Dealer({ routingId: "d" }))];
  client.connect(await server.bind("inproc://observed-server"));
  dealer.connect(await router.bind("inproc://observed-router"));
  const seen: unknown[] = [];
  on<SendOperation>("shoal.send.end", ({ socket, socketType, bytes, error }) => {
    const { code } = (error ?? {}) as { readonly code?: string };
    seen.push([[server, radio, router].includes(socket as never), socketType, bytes, code]);
  });
  radio.trySend("storm", { group: "g" });
  await client.send("question");
  const [, { routingId }] = await server.receive();
  await server.send("answer", { routingId });
  expect(router.tryDeliver(["d", "body"])).toBe("sent");
  expect(router.tryDeliver(["nobody", "body"])).toBe("gone");
  expect(seen).toEqual([
    [true, "Radio", 6, undefined],
    [false, "Client", 8, undefined],
    [true, "Server", 10, undefined],
    [true, "Router", 5, undefined],
    [true, "Router", 10, "EHOSTUNREACH"],
  ]);
});

it("lets a subscriber add headers to a request, and stand around its handler", async () => {
  const storage = new AsyncLocalStorage<string>();
  on<RequestOperation>("shoal.request.start", (operation) => operation.setHeader("tenant", "acme"));
  on<ProcessOperation>("shoal.process.start", (operation) => {
    operation.wrap((run) => storage.run(operation.headers.tenant ?? "nobody", run));
  });
  const ended: string[] = [];
  for (const what of ["request", "process"])
    on<RequestOperation | ProcessOperation>(`shoal.${what}.end`, ({ service, system, error }) => {
      ended.push(`${what} ${system} ${service} ${error === undefined}`);
    });
  const broker = own(new MajordomoBroker());
  const endpoint = await broker.bind("tcp://127.0.0.1:*");
  const worker = own(
    new MajordomoWorker(endpoint, "work", async (_body, { headers }) => {
      await new Promise((resolve) => setImmediate(resolve));
      return JSON.stringify([storage.getStore(), headers]);
    }),
  );
  const client = own(new MajordomoClient(endpoint));
  await worker.ready();
  const reply = await client.request("work", "x", { headers: { own: "1" } });
  expect(JSON.parse(String(reply))).toEqual(["acme", { own: "1", tenant: "acme" }]);
  expect(ended).toEqual(["process majordomo work true", "request majordomo work true"]);
});

const MESSAGES = 100;

it("a message that nobody observes costs three reads between sockets", async () => {
  const [push, pull] = [own(new Push()), own(new Pull())];
  push.connect(await pull.bind("tcp://127.0.0.1:0"));
  await push.ready();
  expect(CHANNELS.length).toBeGreaterThan(10);
  let reads = 0;
  const get = (): boolean => reads++ < 0;
  for (const channel of CHANNELS)
    Object.defineProperty(channel, "hasSubscribers", { configurable: true, get });
  onTestFinished(() => {
    for (const channel of CHANNELS) Reflect.deleteProperty(channel, "hasSubscribers");
  });
  for (let i = 0; i < MESSAGES; i++) {
    await push.send("x");
    await pull.receive();
  }
  expect(reads / MESSAGES).toBeLessThanOrEqual(3);
  expect(reads).toBeGreaterThan(0);
});
