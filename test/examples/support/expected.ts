/** What each program of examples/guide prints. */
import { expect } from "vitest";

type Lines = readonly string[];
const exactly =
  (...expected: string[]) =>
  (lines: Lines): void =>
    expect(lines).toEqual(expected);
/** In any order, since several clients or workers print them. */
const anyOrder =
  (...expected: string[]) =>
  (lines: Lines): void =>
    expect([...lines].sort()).toEqual(expected.sort());
const three = (line: string): string[] => [1, 2, 3].map((i) => line.replace("#", String(i)));
const numberIn = (line: string | undefined, pattern: RegExp): number => Number(pattern.exec(line ?? "")?.[1]);
/** Three workers that ask for work: the slow one did no more than either of the others. */
const fastWorkersDoMore = (lines: Lines): void => {
  const [first, second, slow] = [...lines].sort().map((line) => numberIn(line, /worker: (\d+) tasks/));
  expect((first ?? 0) + (second ?? 0) + (slow ?? 0)).toBe(20);
  expect(slow).toBeLessThanOrEqual(Math.min(first ?? 0, second ?? 0));
};

/** By path below examples/guide: checks the lines of a run with all roles. */
export const EXPECTED: Readonly<Record<string, (lines: Lines) => void>> = {
  "chapter1/hello-world.ts": exactly(
    ...[1, 2, 3].flatMap((i) => ["server: received Hello", `client: received World ${i}`]),
  ),
  "chapter1/pipeline.ts": (lines) => {
    expect(lines[0]).toBe("ventilator: 30 tasks, 165 ms of work");
    expect(lines.slice(2)).toEqual(Array(3).fill("worker: did 10 tasks"));
    expect(numberIn(lines[1], /^sink: 30 results in (\d+) ms$/)).toBeGreaterThanOrEqual(40);
  },
  "chapter1/version.ts": (lines) => {
    expect(lines[0]).toMatch(/^shoal \d+\.\d+\.\d+/);
    expect(lines[2]).toBe("CURVE: true, draft sockets: true");
  },
  "chapter1/weather.ts": ([line]) => {
    expect(Math.abs(numberIn(line, /^average of 10 updates for 10001: (-?\d+) °C$/))).toBeLessThan(60);
  },
  "chapter2/envelope.ts": exactly("[B/] We would like to see this", "[B/] We would like to see this"),
  "chapter2/interrupt.ts": exactly(
    "client: Hello World",
    "interrupted: the loop has ended { flushed: 1, discarded: 0, unknown: 0 }",
  ),
  "chapter2/pipeline-end.ts": anyOrder(
    "sink: 20 results",
    "worker A: did 10 tasks, ended by the sink",
    "worker B: did 10 tasks, ended by the sink",
  ),
  "chapter2/proxy-queue.ts": exactly(
    "queue: ready",
    "client: Hello World",
    "queue: drained true, 0 requests without a reply",
  ),
  "chapter2/relay.ts": exactly("step 1 ready, step 2 ready, test successful"),
  "chapter2/request-broker.ts": exactly(...three("client: Hello #, World")),
  "chapter2/synchronized.ts": anyOrder(
    "publisher: sent 10000 updates to 3 subscribers",
    ...three("subscriber: received 10000 updates"),
  ),
  "chapter2/threads.ts": exactly(
    "client: received 06ea7d46",
    "client: received 06ea7d46",
    "server: 2 threads have ended",
  ),
  "chapter2/two-sockets.ts": anyOrder("tasks: 50 messages", "weather: 50 messages"),
  "chapter2/weather-proxy.ts": exactly(
    "outside: 10001 21 °C",
    "outside: 10001 22 °C",
    "proxy: 2 messages passed",
  ),
  "chapter3/async-server.ts": (lines) => {
    expect(lines).toHaveLength(12);
    for (const client of ["A", "B"]) {
      for (const request of [1, 2]) {
        const own = lines.filter((line) => line.startsWith(`client ${client}: request ${request},`));
        expect(own).toEqual(three(`client ${client}: request ${request}, reply #`));
      }
    }
    // Both requests of a client were worked on at once.
    expect(lines.indexOf("client A: request 2, reply 1")).toBeLessThan(
      lines.indexOf("client A: request 1, reply 3"),
    );
  },
  "chapter3/balancer-by-envelopes.ts": exactly("client: one OK", "client: two OK", "client: three OK"),
  "chapter3/balancer-by-frames.ts": exactly(
    `clients: ${Array(10).fill("OK").join(" ")}`,
    "workers: 10 requests",
  ),
  "chapter3/balancer.ts": exactly(
    "client: one OK, two OK, three OK, four OK",
    "broker: 4 requests, 4 replies, 0 workers lost",
  ),
  "chapter3/identity.ts": exactly(
    "----------------------------------------",
    "[005] 5 bytes",
    "[000] ",
    "[039] the router makes up an id of five bytes",
    "----------------------------------------",
    "[005] PEER2",
    "[000] ",
    "[035] the router takes the id of the peer",
  ),
  "chapter3/peering-flow.ts": exactly(
    "client of A: one done at B",
    "client of A: two done at B",
    "client of A: three done at B",
    "site A: 3 requests went to B",
  ),
  "chapter3/peering-state.ts": anyOrder(
    "DC1: DC2 has 1 free workers",
    "DC1: DC3 has 2 free workers",
    "DC2: DC1 has 0 free workers",
    "DC2: DC3 has 2 free workers",
    "DC3: DC1 has 0 free workers",
    "DC3: DC2 has 1 free workers",
  ),
  "chapter3/peering.ts": exactly(
    "client of A: short done at B",
    "client of A: long done at A",
    "site A: 2 requests went to B, 1 came back",
  ),
  "chapter3/router-to-dealer.ts": fastWorkersDoMore,
  "chapter3/router-to-request.ts": fastWorkersDoMore,
  "chapter4/binary-star-reactor.ts": exactly(
    "server: active, reason fail-over",
    "client: Hello World",
    "gate: served 1 requests",
  ),
  "chapter4/binary-star.ts": exactly(
    "request 1, from the primary",
    "request 2, from the backup",
    "the backup is active",
  ),
  "chapter4/freelance-failover.ts": exactly("request 1 by the first", "request 2 by the second"),
  "chapter4/freelance-shotgun.ts": exactly(
    "request 1 by fast",
    "request 2 by fast",
    "handled by the slow one, too: true",
  ),
  "chapter4/freelance.ts": exactly(
    "request 1 done",
    "10 requests answered, with one server gone",
    "servers alive: 2 of 3",
  ),
  "chapter4/lazy-pirate.ts": (lines) => {
    // How often it asks again depends on how busy the machine is.
    const retried = lines.filter((line) => line.startsWith("client: no reply"));
    expect(retried.length).toBeGreaterThanOrEqual(1);
    expect(lines.filter((line) => !retried.includes(line))).toEqual([
      "client: one, done",
      "client: two, done",
      "server: dies",
      "client: three, done by the new server",
      "client: ETIMEDOUT",
    ]);
  },
  "chapter4/majordomo-async.ts": exactly(
    'client: 100 replies, the first is "reply to request 0"',
    'worker: handled "request 0" first: false',
  ),
  "chapter4/majordomo-by-hand.ts": exactly("client: MDPC01 echo Hello world"),
  "chapter4/majordomo.ts": exactly("client: 100 requests and replies"),
  "chapter4/paranoid-pirate.ts": exactly(
    "queue: a worker was silent, and is taken off the list",
    "client: one, done",
    "client: two, done",
    "client: three, done",
    "queue: 3 requests, 0 given to a second worker",
  ),
  "chapter4/round-trip.ts": (lines) => {
    expect(numberIn(lines[0], /^one at a time: (\d+) calls a second$/)).toBeGreaterThan(0);
    expect(lines[2]).toBe("faster: true");
  },
  "chapter4/service-discovery.ts": exactly(
    "echo: 200",
    "coffee: 404",
    "all: 200,echo,1,0",
    "coffee: no-service",
  ),
  "chapter4/simple-pirate.ts": exactly(
    "client: one, done",
    "client: two, done",
    "client: three, done",
    "queue: 3 requests, 1 given to a second worker",
  ),
  "chapter4/titanic.ts": exactly(
    "first client: left a request, its status is 300",
    "second client: 200 Hello world",
    "second client: forgotten, its status is 400",
  ),
  "chapter5/clone-ephemeral.ts": exactly(
    "client: set /presence/alice = here",
    "client: delete /presence/alice",
    '/presence/alice | 8 bytes | 16 bytes | a time to live | "here"',
    '/presence/alice | 8 bytes | 16 bytes | no time to live | ""',
  ),
  "chapter5/clone-pair.ts": exactly(
    "the primary serves, the backup is in step",
    "/fish/cod 4.20",
    "/fish/eel 7.90",
    "/fish/ray 5.10",
    "the client has failed over: true",
  ),
  "chapter5/clone-republish.ts": exactly("both have the same: true", "the last change: change 99"),
  "chapter5/clone-snapshot.ts": exactly(
    "client: a snapshot of 100 keys",
    "client: 20 updates after it, without a gap",
  ),
  "chapter5/clone-subtree.ts": exactly(
    "snapshot: /client/alice is here",
    "snapshot: /client/bob is away",
    "update 1: /client/bob is here",
    "update 3: /client/alice is away",
  ),
  "chapter5/clone-updates.ts": exactly("client: 500 updates, 0 gaps, 100 keys", "the maps are equal: true"),
  "chapter5/espresso.ts": exactly(
    "subscriber: A-00001",
    "subscriber: B-00001",
    "listener: A-00001, 7 bytes from the frontend",
    "listener: B-00001, 7 bytes from the frontend",
  ),
  "chapter5/last-value-cache.ts": (lines) => {
    expect(lines).toContain("early subscriber: 042 Save Roger");
    expect(lines.slice(-2)).toEqual(["cache: 042 was asked for, sent", "late subscriber: 042 Save Roger"]);
  },
  "chapter5/late-subscriber.ts": exactly("without a cache: nothing (EAGAIN)", "with a cache: 042 Save Roger"),
  "chapter5/suicidal-snail.ts": exactly(
    '30 ms for each message: died, the cause is "slow"',
    "no work: kept up",
  ),
  "chapter7/file-by-chunk.ts": exactly(
    "41 chunks, 656594 bytes, one at a time",
    "the file is the same: true",
  ),
  "chapter7/file-credit.ts": exactly(
    "656594 bytes, at most 10 chunks on their way",
    "the file is the same: true",
  ),
  "chapter7/file-whole.ts": exactly(
    "at most 5 on each side: chunks were dropped",
    "no limit: all 40 chunks waited in memory",
  ),
  "chapter8/chat.ts": exactly(
    "ana shouts to 1 peer",
    "joe hears ana: hello, everybody",
    "joe whispers: hello, Ana",
  ),
  "chapter8/discovery.ts": exactly("first: second has joined", "first: 2 members", "first: second has left"),
  "chapter8/eagain.ts": exactly(
    "4 messages are queued, the next one: EAGAIN",
    "trySend: false",
    "close: 4 messages discarded",
  ),
  "chapter8/udp-ping.ts": anyOrder(
    ...three("found a peer, that makes 1"),
    ...three("found a peer, that makes 2"),
  ),
};
