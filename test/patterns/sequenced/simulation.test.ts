/**
 * Publishers that come, go and lose messages, and a subscriber that asks for what it missed, in simulated time.
 *
 * Invariants: of each stream the subscriber gets each message at most once, in order; what it was given, what was
 * reported as lost or missed, and what a replay brought are together the whole stream, each message in exactly one of
 * them; a replay brings only messages of its range, as they were published.
 */
import { expect, it } from "vitest";
import { PublisherRules } from "../../../src/patterns/sequenced/publisher-rules.js";
import {
  type ReplayCall,
  type ReplayedFrames,
  ReplayRules,
  type SequencedRange,
  type SequencedSubscriberEvent,
  StreamTable,
} from "../../../src/patterns/sequenced/subscriber-rules.js";

import { Network } from "../../../src/testing/network.js";
import { RulesTimer } from "../../../src/testing/rules-timer.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

const STORM = 3_000;
const RING = 20;

/** What became of one stream at the subscriber. */
interface Account {
  readonly given: number[];
  readonly lost: SequencedRange[];
}

function story(simulation: Simulation): void {
  const { random } = simulation;
  const network = new Network(simulation, {
    delay: [0.1, random.pick([1, 20, 200])],
    loss: random.pick([0, 0.02, 0.2]),
    duplication: random.pick([0, 0, 0.05]),
  });
  /** publisher topic stream -> the bodies published, in order. */
  const truth = new Map<string, string[]>();
  const accounts = new Map<string, Account>();
  const accountOf = (name: Omit<SequencedRange, "from" | "to">): Account => {
    const key = `${name.publisher} ${name.topic} ${name.stream}`;
    const account = accounts.get(key) ?? { given: [], lost: [] };
    accounts.set(key, account);
    return account;
  };
  const links = ["p0", "p1"];
  const pending = new Set<ReplayCall>();
  /** Name of each publisher that is up, by its id. */
  const connected = new Map<string, string>();
  const replays = new ReplayRules(300, (publisher, frames) => {
    const name = connected.get(publisher);
    if (name !== undefined) network.send("sub", `${name}-replay`, frames);
    return name !== undefined;
  });
  const replayTimer = new RulesTimer(simulation, replays);
  const check = (range: SequencedRange, outcome: string, messages: readonly ReplayedFrames[]): void => {
    const published = truth.get(`${range.publisher} ${range.topic} ${range.stream}`) ?? [];
    let last = range.from - 1;
    for (const { sequence, body } of messages) {
      expect(sequence).toBeGreaterThan(last);
      expect(sequence).toBeLessThanOrEqual(range.to);
      expect(String(body[0])).toBe(published[sequence - 1]);
      last = sequence;
    }
    simulation.note(`replay ${range.from}-${range.to}: ${outcome}, ${messages.length}`);
  };
  const hear = (event: SequencedSubscriberEvent): void => {
    simulation.note(`sub: ${event.type}`);
    if (event.type !== "gap:detected" && event.type !== "stream:joined-late") return;
    accountOf(event).lost.push(event);
    if (replays.stats().pending >= 1_000 || random.chance(0.3)) return;
    const call = replays.request(event, simulation.now, (outcome, messages) => {
      pending.delete(call);
      check(event, outcome, messages);
    });
    pending.add(call);
    simulation.after(2_000, () => {
      if (pending.delete(call)) replays.cancel(call);
    });
    replayTimer.update();
  };
  const table = new StreamTable(1_000, hear);
  network.join("sub", (from, frames) => {
    if (from.endsWith("-replay")) {
      const name = from.slice(0, 2);
      const [publisher] = [...connected].find(([, each]) => each === name) ?? [];
      replays.receive(publisher ?? "gone", frames, simulation.now);
      replayTimer.update();
      return;
    }
    const place = table.receive(frames);
    if (place === undefined) return;
    const { given } = accountOf(place);
    expect(place.sequence).toBeGreaterThan(given.at(-1) ?? 0);
    given.push(place.sequence);
    const published = truth.get(`${place.publisher} ${place.topic} ${place.stream}`) ?? [];
    expect(String(frames[2])).toBe(published[place.sequence - 1]);
  });
  const startPublisher = (name: string): void => {
    const id = Buffer.from(Array.from({ length: 16 }, () => random.integer(0, 255)));
    let streams = 0;
    const known = new Map<string, string>();
    const rules: PublisherRules = new PublisherRules(
      { maxTopics: 2, maxQueue: RING, maxQueueBytes: 600 },
      {
        publish: (frames) => {
          if (network.isUp(`${name}-replay`)) network.send(name, "sub", frames);
        },
        answer: (_, frames) => random.chance(0.98) && network.send(`${name}-replay`, "sub", frames),
        event: (event) => {
          if (event.type === "topic:evicted") known.delete(String(event.topic));
        },
      },
      id,
    );
    network.join(`${name}-replay`, (from, frames) => rules.receive(Buffer.from(from), frames));
    connected.set(id.toString("hex"), name);
    replays.joined(simulation.now);
    replayTimer.update();
    const end = simulation.now + random.pick([500, 1_500, STORM]);
    const speak = (): void => {
      if (simulation.now > STORM) return;
      if (simulation.now > end) {
        network.crash(`${name}-replay`);
        connected.delete(id.toString("hex"));
        simulation.after(100, () => startPublisher(name));
        return;
      }
      const topic = random.pick(["a", "a", "b", "c"]);
      if (!known.has(topic) && known.size >= 2) simulation.note(`${name} forgets a topic for ${topic}`);
      const body = `${topic}${simulation.now}`;
      // The stream that this message begins or goes on with is only known afterwards where it is new.
      const before = known.get(topic);
      const stream = before ?? `${id.toString("hex")} ${topic} ${++streams}`;
      known.set(topic, stream);
      const published = truth.get(stream) ?? [];
      truth.set(stream, published);
      published.push(body);
      expect(rules.publish(Buffer.from(topic), [Buffer.from(body)], 1)).toBe(published.length);
      known.set(topic, stream);
      simulation.after(random.next() * 60, speak);
    };
    speak();
  };
  for (const name of links) simulation.after(random.next() * 300, () => startPublisher(name));
  simulation.run(STORM + 100);
  network.faults = { delay: [0.1, 5], loss: 0, duplication: 0 };
  simulation.run(STORM + 20_000);
  expect(pending.size, "replays that never ended").toBe(0);
  let received = 0;
  for (const [key, { given, lost }] of accounts) {
    const all = [...given];
    received += given.length;
    for (const { from, to } of lost) for (let sequence = from; sequence <= to; sequence++) all.push(sequence);
    all.sort((a, b) => a - b);
    expect(all, `${key}: each message once, given or told`).toEqual(all.map((_, index) => index + 1));
  }
  for (const [key, published] of truth) {
    const account = accounts.get(key);
    if (account === undefined) continue;
    const heard = Math.max(...account.given, ...account.lost.map(({ to }) => to));
    expect(heard).toBeLessThanOrEqual(published.length);
  }
  const stats = table.stats();
  expect(stats.received).toBe(received);
  expect(stats.invalid).toBe(0);
}

it(
  "every message of every stream reaches a subscriber, or is reported to it, exactly once",
  () => {
    runSchedules(story, { count: 40 });
  },
  SCHEDULES_TIMEOUT,
);
