/** What is not what an option is for is refused at the door, before anything is opened. */
import { expect, test } from "vitest";
import { describe } from "../../src/core/arguments.js";
import { type EndpointSource, json } from "../../src/index.js";
import * as patterns from "../../src/patterns/index.js";
import { within } from "../contract/support/wait.js";
import { ListedEndpoints } from "../support/listed-endpoints.js";

const AT = "tcp://127.0.0.1:9";
const handler = (): string => "";

/** Looked up by name: each makes one with some options. */
const create: Readonly<Record<string, (options: object, at?: EndpointSource) => unknown>> = {
  BinaryStarClient: (options, at) => new patterns.BinaryStarClient(at ?? [AT, AT], options),
  BlackBox: (options) => new patterns.BlackBox({ connect: AT, handler: "x", ...options } as never),
  CloneClient: (options, at) => new patterns.CloneClient(at ?? AT, options),
  CloneServer: (options) => new patterns.CloneServer(options),
  EspressoListener: (options) => new patterns.EspressoListener(AT, options),
  EspressoTap: (options) => new patterns.EspressoTap(options),
  FederatedBroker: (options) => new patterns.FederatedBroker("site", options),
  FreelanceClient: (options, at) => new patterns.FreelanceClient(at ?? AT, options),
  FreelanceFailoverClient: (options, at) => new patterns.FreelanceFailoverClient(at ?? AT, options),
  FreelanceServer: (options) => new patterns.FreelanceServer(handler, options),
  FreelanceShotgunClient: (options, at) => new patterns.FreelanceShotgunClient(at ?? AT, options),
  LoadBalancer: (options) => new patterns.LoadBalancer(options),
  LoadBalancerClient: (options, at) => new patterns.LoadBalancerClient(at ?? AT, options),
  MajordomoBroker: (options) => new patterns.MajordomoBroker(options),
  MajordomoClient: (options, at) => new patterns.MajordomoClient(at ?? AT, options),
  MajordomoWorker: (options, at) => new patterns.MajordomoWorker(at ?? AT, "fish", handler, options),
  PirateClient: (options, at) => new patterns.PirateClient(at ?? AT, options),
  PirateQueue: (options) => new patterns.PirateQueue(options),
  PirateWorker: (options, at) => new patterns.PirateWorker(at ?? AT, handler, options),
  SequencedPublisher: (options) => new patterns.SequencedPublisher(options),
  SequencedSubscriber: (options) => new patterns.SequencedSubscriber(options),
  SuicidalSnail: (options) => new patterns.SuicidalSnail(options),
};

const WRONG: readonly unknown[] = [null, 0, -0, Number.NaN, 1n, "x", "", [], true, Symbol("x"), () => ""];

function refused(name: string, option: string, value: unknown): void {
  expect(
    () => ({ ...create, ...others })[name]?.({ [option]: value }),
    `${name}.${option}: ${describe(value)}`,
  ).toThrow(expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(option) }));
}

test.each(Object.keys(create))("socketOptions of a %s is an object", (name) => {
  for (const value of WRONG) refused(name, "socketOptions", value);
});

// Those that take a source.
test.each(
  Object.entries(create).filter(([, make]) => make.length === 2),
)("socketOptions of a %s are those of sockets, also before its source has any endpoint", (_, make) => {
  const keys = ["short", "x".repeat(40)].map((curveServerKey) => ({ curveServerKey }));
  const source = new ListedEndpoints();
  for (const socketOptions of [{ linger: "x" }, { nosuch: 1 }, ...keys])
    for (const at of [undefined, source])
      expect(() => make({ socketOptions }, at)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  expect(source.readers).toBe(0);
});

test.each([
  "FederatedBroker",
  "FreelanceServer",
  "LoadBalancer",
  "MajordomoBroker",
  "PirateQueue",
])("gate of a %s has what a gate has", (name) => {
  for (const value of [...WRONG, {}, Object.create(null), new Date(), { admit: handler, passTo: handler }])
    refused(name, "gate", value);
});

/** More, without socketOptions. */
const others: typeof create = {
  BinaryStar: (options) => new patterns.BinaryStar({ role: "primary", peer: AT, ...options }),
  LastValueCache: (options) => new patterns.LastValueCache(options),
};

test.each(Object.entries({ ...create, ...others }))("a %s has no other options than its own", (_, make) => {
  expect(() => make({ nosuch: 1 })).toThrow(
    expect.objectContaining({ code: "EINVAL", message: expect.stringContaining("has no option nosuch") }),
  );
});

test.each<[string, string, ...unknown[]]>([
  ["BinaryStar", "role", "third", undefined],
  ["BinaryStar", "peer", ""],
  ["BinaryStar", "replica", {}, { position: String, compare: String, mayTakeOver: String }],
  ["BinaryStar", "heartbeatInterval", 0],
  ["BinaryStar", "liveness", 1],
  ["BlackBox", "handler", "", () => undefined, undefined],
  ["BlackBox", "connect", undefined],
  ["BlackBox", "workers", 0, 257],
  ["BlackBox", "full", "other"],
  ["BlackBox", "maxQueue", 0],
  ["BlackBox", "maxQueueBytes", 0],
  ["BlackBox", "socketOptions", { codec: {} }],
  ["CloneClient", "liveness", 1],
  ["EspressoListener", "socketOptions", { codec: json() }],
  ["EspressoTap", "snapLength", 255],
  ["FederatedBroker", "cloudOptions", { codec: json() }],
  ["FreelanceClient", "socketOptions", { codec: json() }],
  ["FreelanceClient", "timeToLive", 2_000], // The default pingInterval.
  ["FreelanceServer", "identity", "tcp://*:1"],
  ["FreelanceServer", "model", 4],
  ["FreelanceServer", "socketOptions", { codec: json() }],
  ["FreelanceShotgunClient", "socketOptions", { codec: json() }],
  ["LastValueCache", "maxTopics", 0],
  ["LastValueCache", "topics", "a"],
  ["LastValueCache", "gate", {}, { isServing: () => true }, 1],
  ["LastValueCache", "backendOptions", { noDrop: true }, { manual: true }],
  ["LastValueCache", "store", "", "tcp://127.0.0.1:1"],
  ["LoadBalancerClient", "timeout", -2],
  ["LoadBalancerClient", "retries", 0.5],
  ["LoadBalancerClient", "requestCodec", 7],
  ["LoadBalancerClient", "socketOptions", { codec: json() }],
  ["MajordomoBroker", "maxQueue", -1],
  ["MajordomoClient", "protocol", "0.3"],
  ["MajordomoClient", "socketOptions", { codec: json() }],
  ["MajordomoWorker", "concurrency", 0],
  ["PirateClient", "socketOptions", { codec: json() }],
  ["PirateQueue", "frontendOptions", { codec: json() }],
  ["PirateWorker", "socketOptions", { codec: json() }],
  ["SequencedPublisher", "maxTopics", 0],
  ["SequencedPublisher", "replayOptions", { codec: json() }],
  ["SequencedPublisher", "socketOptions", { noDrop: true }],
  ["SequencedSubscriber", "maxStreams", 0],
  ["SequencedSubscriber", "socketOptions", { conflate: true }],
  ["SuicidalSnail", "policy", "flee"],
  ["SuicidalSnail", "maxLateness", 0],
  ["SuicidalSnail", "patience", -1],
  ["SuicidalSnail", "stamp", 5],
  ["SuicidalSnail", "socketOptions", { conflate: true }],
])("%s: %s has its form and bounds", (name, option, ...values) => {
  for (const value of values) refused(name, option, value);
});

test.each(["MajordomoClient", "MajordomoWorker"])("codecs of a %s are codecs", (name) => {
  for (const option of ["requestCodec", "replyCodec"])
    for (const value of [...WRONG, {}, { encode: handler }]) refused(name, option, value);
});

test("a Clone refuses what is not a subtree, a key encoding, a store, a pair, a context, a number", () => {
  for (const value of WRONG) {
    refused("CloneServer", "store", value);
    refused("CloneServer", "pair", value);
    refused("CloneServer", "context", value);
    refused("CloneClient", "keyEncoding", value);
    if (value !== "") refused("CloneClient", "subtree", value);
  }
  for (const value of [{}, { load: handler, commit: handler }]) refused("CloneServer", "store", value);
  for (const value of [{}, { load: handler }, Object.create(null)]) refused("CloneServer", "context", value);
  refused("CloneClient", "keyEncoding", Object.create(null));
  for (const option of ["maxPending", "maxBytes", "liveness", "heartbeatInterval"])
    for (const name of ["CloneClient", "CloneServer"]) refused(name, option, null);
});

test("the linger of close is a number", async () => {
  const broker = new patterns.LoadBalancer();
  for (const linger of [null, "1", 1n, -2, Number.NaN])
    await expect(broker.close({ linger: linger as never })).rejects.toMatchObject({ code: "EINVAL" });
  expect(broker.closed).toBe(false);
  await broker.close({ linger: 0 });
});

test("what a call takes is refused as an invalid argument, and never by an error of the platform's", async () => {
  const server = new patterns.CloneServer();
  const site = new patterns.FederatedBroker("site");
  const subscriber = new patterns.SequencedSubscriber();
  const snail = new patterns.SuicidalSnail();
  const client = new patterns.MajordomoClient(AT);
  const calls: readonly (() => unknown)[] = [
    ...[null, 5, {}, [1], Symbol("x"), handler].flatMap((wrong) => [
      () => server.set(wrong as never, "v"),
      () => server.set("k", wrong as never),
      () => server.delete(wrong as never),
      () => server.get(wrong as never),
      () => server.bind(wrong as never),
      () => site.join(wrong as never),
      () => site.join({ name: "other", cloud: AT, state: wrong } as never),
      () => subscriber.replay(wrong as never),
      () => subscriber.receiveMany({ signal: wrong } as never),
      () => client.stream("a", ["b"], { signal: wrong } as never),
    ]),
    ...[null, 5, [1], Symbol("x"), handler].flatMap((wrong) => [
      () => subscriber.receive(wrong as never),
      () => subscriber.receiveMany(wrong as never),
      () => snail.receive(wrong as never),
    ]),
    ...[null, -2, Number.NaN, "x", {}].flatMap((timeout) => [
      () => subscriber.receive({ timeout } as never),
      () => snail.receive({ timeout } as never),
    ]),
    () => subscriber.receive({ max: 1 } as never),
  ];
  for (const call of calls)
    await expect(within((async () => call())(), String(call)), String(call)).rejects.toMatchObject({
      code: "EINVAL",
    });
  // Nothing of a refused site is connected: the site can still be joined.
  site.join({ name: "other", cloud: AT, state: AT });
  await Promise.all([server, site, subscriber, snail, client].map((each) => each.close({ linger: 0 })));
});
