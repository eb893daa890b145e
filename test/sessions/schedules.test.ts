/** Operations on sessions in generated orders, held against a model; each may run again after it was committed, as when the store's answer was lost. */
import { expect, it } from "vitest";
import { matches } from "../../src/cluster/messaging/topics.js";
import { SessionError } from "../../src/sessions/protocol.js";
import {
  decodeMessage,
  keys,
  rangeOf,
  type SessionDropPolicy,
  type SessionRecord,
} from "../../src/sessions/records.js";
import * as rules from "../../src/sessions/rules.js";
import type { SessionStoreEntry, SessionStoreValue } from "../../src/sessions/store.js";
import { type KeyRange, NotPrepared, Unread, View } from "../../src/sessions/transactions.js";
import type { Random } from "../../src/testing/random.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../support/schedules.js";

/** A store without promises. */
class Values {
  readonly values = new Map<string, SessionStoreValue>();
  #version = 0;

  run<T>(operation: (view: View) => T): T {
    const known = new Map<string, SessionStoreValue | undefined>();
    const found = new Map<string, readonly SessionStoreEntry[]>();
    for (;;) {
      const view = new View(known, found);
      try {
        const result = operation(view);
        view.keep();
        this.#commit(view);
        return result;
      } catch (error) {
        if (error instanceof Unread) {
          for (const key of error.keys) known.set(key, this.values.get(key));
          const { range } = error;
          if (range === undefined) continue;
          const entries = this.#scan(range);
          for (const entry of entries) known.set(entry.key, entry);
          found.set(range.from, entries);
        } else if (error instanceof NotPrepared) void error.prepare();
        else throw error;
      }
    }
  }

  #scan({ from, to, limit }: KeyRange): SessionStoreEntry[] {
    const all = [...this.values.keys()].filter((key) => key >= from && key < to).sort();
    return all.slice(0, limit).map((key) => ({ key, ...(this.values.get(key) as SessionStoreValue) }));
  }

  #commit(view: View): void {
    this.#version += 1;
    for (const { key, value } of view.writes()) {
      if (value === undefined) this.values.delete(key);
      else this.values.set(key, { value, version: this.#version });
    }
  }
}

/** Filters as a server has them, which are not refreshed unless an operation asks for it. */
class Filters implements rules.SubscriptionDirectory {
  readonly #values: Values;
  version = -1;
  readonly report = (): void => undefined;
  #filters: [string, string[]][] = [];

  constructor(values: Values) {
    this.#values = values;
  }

  match(topic: string): readonly string[] {
    return this.#filters.filter(([, all]) => all.some((filter) => matches(filter, topic))).map(([id]) => id);
  }

  refresh(): Promise<void> {
    this.version = this.#values.run((view) => rules.directoryVersion(view));
    this.#filters = SESSIONS.map((id) => [id, this.#values.run((view) => [...filtersOf(view, id)])]);
    return Promise.resolve();
  }
}

function filtersOf(view: View, id: string): readonly string[] {
  const bytes = view.get(keys.filters(id));
  return bytes === undefined ? [] : (JSON.parse(bytes.subarray(21).toString()) as string[]);
}

const SESSIONS = ["a", "b", "c"];
const TOPICS = ["x", "y", "x/1"];
const FILTERS = ["x", "y", "#", "x/+"];
const BOUNDS: rules.StoreBounds = { maxSessions: 3, maxFilters: 12, maxFilterBytes: 100 };
const POLICIES: readonly SessionDropPolicy[] = ["oldest", "newest", "refuse"];

interface Kept {
  readonly number: number;
  readonly text: string;
}

/** What a session is to be. */
interface Model {
  handle: rules.SessionHandle;
  limit: number;
  drop: SessionDropPolicy;
  filters: Set<string>;
  queue: Kept[];
  tail: number;
  published: number;
  ids: Set<string>;
  dropped: number;
}

function story(random: Random, note: (what: string) => void): void {
  const values = new Values();
  const directories = [new Filters(values), new Filters(values)];
  const models = new Map<string, Model>();
  /** Handles of connections that were taken over, or have ended. */
  const stale: rules.SessionHandle[] = [];
  let time = 1_000;
  let made = 0;

  /** Runs it, and often again: the store's answer was lost. */
  const run = <T>(operation: (view: View) => T): T => {
    const result = values.run(operation);
    return random.chance(0.3) ? values.run(operation) : result;
  };
  const some = <T>(items: readonly T[]): T[] => items.filter(() => random.chance(0.5));

  const open = (id: string): void => {
    const before = models.get(id);
    made += 1;
    const clean = random.chance(0.1);
    const [limit, drop] = [random.integer(1, 4), random.pick(POLICIES)];
    const terms = {
      instance: `instance${made}`,
      attempt: 1,
      expiry: 1_000,
      limits: { maxQueue: limit, maxQueueBytes: 1_000, maxAge: -1, drop },
      clean,
      again: false,
    };
    const owner = { server: "s", connection: `connection${made}` };
    const { record } = run((view) => rules.open(view, id, owner, terms, `life${made}`, BOUNDS, time));
    if (before !== undefined) stale.push(before.handle);
    const handle = { id, life: record.life, epoch: record.epoch };
    expect(record.isPresent).toBe(before !== undefined && !clean);
    const counts = { tail: 0, published: 0, dropped: 0 };
    const empty = { filters: new Set<string>(), queue: [], ids: new Set<string>(), ...counts };
    models.set(id, { ...((!clean && before) || empty), handle, limit, drop });
    note(`${id} opened: ${limit} ${drop}`);
  };

  const publish = (model: Model): void => {
    const topic = random.pick(TOPICS);
    const isRepetition = random.chance(0.2) && model.published > 0;
    const number = isRepetition ? random.integer(1, model.published) : model.published + 1;
    const id = random.chance(0.3) ? `id${random.integer(1, 4)}` : "";
    const text = `${topic} ${made++}`;
    const publication = { number, id, topic, data: Buffer.from(text) };
    const outcome = values.run((view) =>
      rules.publish(view, model.handle, random.pick(directories), publication, time),
    );
    note(
      `${model.handle.id} published ${number} ${text} with ${JSON.stringify(id)}: ${JSON.stringify(outcome)}`,
    );
    if (isRepetition) {
      expect(outcome.isDuplicate).toBe(true);
      return;
    }
    model.published = number;
    if (id !== "" && model.ids.has(id)) {
      expect(outcome).toMatchObject({ isDuplicate: true, refusedBy: undefined });
      return;
    }
    const targets = [...models].filter(([, { filters }]) =>
      [...filters].some((filter) => matches(filter, topic)),
    );
    const full = targets.filter(([, { drop, limit, queue }]) => drop === "refuse" && queue.length >= limit);
    if (full.length > 0) {
      expect(full.map(([name]) => name)).toContain(outcome.refusedBy);
      const again = values.run((view) =>
        rules.publish(view, model.handle, random.pick(directories), publication, time),
      );
      expect(again).toMatchObject({ isDuplicate: true, refusedBy: model.handle.id });
      return;
    }
    if (id !== "") model.ids.add(id);
    let kept = 0;
    for (const [, target] of targets) {
      if (target.queue.length >= target.limit && target.drop === "newest") {
        target.dropped += 1;
        continue;
      }
      while (target.queue.length >= target.limit) {
        target.queue.shift();
        target.dropped += 1;
      }
      target.queue.push({ number: target.tail++, text });
      kept += 1;
    }
    expect(outcome).toMatchObject({ isDuplicate: false, refusedBy: undefined, sessions: kept });
  };

  const settle = (model: Model): void => {
    const acknowledged = some(model.queue).map(({ number }) => number);
    model.queue = model.queue.filter(({ number }) => !acknowledged.includes(number));
    const low = model.queue[0]?.number ?? model.tail;
    const progress = {
      acknowledged,
      old: [],
      low: random.chance(0.5) ? low : 0,
      sent: 0,
      reported: undefined,
    };
    run((view) => rules.settle(view, model.handle, progress));
    note(`${model.handle.id} acknowledged ${acknowledged}`);
  };

  const change = (model: Model): void => {
    const [added, removed] = [some(FILTERS), some(FILTERS)];
    for (const filter of removed) model.filters.delete(filter);
    for (const filter of added) model.filters.add(filter);
    run((view) => rules.changeFilters(view, model.handle, added, removed, BOUNDS));
    note(`${model.handle.id} has ${[...model.filters]}`);
  };

  const leave = (id: string, model: Model): void => {
    const sent = { acknowledged: [], old: [], low: 0, sent: model.tail, reported: undefined };
    run((view) => rules.close(view, model.handle, sent, false, time));
    time += random.pick([10, 2_000]);
    const due = time;
    const isRemoved = values.run((view) => rules.expire(view, id, due));
    note(`${id} left, removed: ${isRemoved}`);
    stale.push(model.handle);
    if (isRemoved) models.delete(id);
    else open(id);
  };

  for (let step = 0; step < 60; step++) {
    const id = random.pick(SESSIONS);
    const model = models.get(id);
    if (model === undefined || random.chance(0.05)) open(id);
    else if (random.chance(0.5)) publish(model);
    else if (random.chance(0.4)) settle(model);
    else if (random.chance(0.7)) change(model);
    else if (random.chance(0.3)) leave(id, model);
    else if (stale.length > 0) {
      const handle = random.pick(stale);
      const refused = (): unknown =>
        values.run((view) => rules.changeFilters(view, handle, ["#"], [], BOUNDS));
      expect(refused).toThrow(SessionError);
      const progress = { acknowledged: [1], old: [], low: 0, sent: 1, reported: undefined };
      values.run((view) => rules.close(view, handle, progress, false, time));
      const end = (): unknown => values.run((view) => rules.close(view, handle, progress, true, time));
      // Its client must not take it for removed, unless that is so.
      if (models.get(handle.id)?.handle.life === handle.life) expect(end).toThrow(SessionError);
      else end();
    }
    compare(values, models);
  }
}

/** Whether the store has what the model has, and nothing else. */
function compare(values: Values, models: ReadonlyMap<string, Model>): void {
  const filters = [...models.values()].flatMap((model) => [...model.filters]);
  expect(values.run((view) => rules.readTotals(view))).toEqual({
    sessions: models.size,
    filters: filters.length,
    filterBytes: filters.join("").length,
  });
  const all = [...values.values.keys()].sort();
  for (const id of SESSIONS) {
    const model = models.get(id);
    const record: SessionRecord | undefined = values.run((view) => rules.readSession(view, id));
    expect(record === undefined, id).toBe(model === undefined);
    if (record === undefined || model === undefined) continue;
    const { from, to } = rangeOf(`q/${id}/${record.life}/`);
    const queue = all
      .filter((key) => key >= from && key < to)
      .map((key) => {
        const message = decodeMessage(key, values.values.get(key)?.value as Buffer);
        return {
          number: Number.parseInt(key.slice(-12), 16),
          text: String(message.data),
          topic: message.topic,
        };
      });
    expect(queue.map(({ number, text }) => ({ number, text }))).toEqual(model.queue);
    const bytes = queue.reduce((sum, { text, topic }) => sum + text.length + topic.length, 0);
    expect(record).toMatchObject({
      count: queue.length,
      bytes,
      tail: model.tail,
      published: model.published,
    });
    expect(record.drops).toEqual({ full: model.dropped, old: 0 });
    expect(record.filters).toBe(model.filters.size);
    if (queue.length > 0) expect(record.head).toBeLessThanOrEqual(queue[0]?.number as number);
    // What was removed is marked, so that its messages are found.
    for (const key of all.filter((each) => each.startsWith(`q/${id}/`) && !each.startsWith(from)))
      expect(all).toContain(`g/${id}/${key.split("/")[2]}`);
  }
}

const NAME = "sessions under generated schedules are what a model says, though each operation may run again";
it(NAME, { timeout: SCHEDULES_TIMEOUT }, () => {
  runSchedules((simulation) => story(simulation.random, (what) => simulation.note(what)), { count: 12 });
});
