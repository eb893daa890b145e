/**
 * Taps and listeners in simulated time, over links that lose records, with listeners that come and go, and taps that
 * start again.
 *
 * Invariants: a listener that hears a record knows exactly how many were lost on its way since the record before it;
 * it never reports a loss that did not occur; the tap's counters add up; nothing is published that nobody asked for.
 */
import { describe, it } from "vitest";
import { Gaps } from "../../../src/patterns/espresso/gaps.js";
import { parseTrailer } from "../../../src/patterns/espresso/protocol.js";
import { TapRules } from "../../../src/patterns/espresso/tap-rules.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT } from "../../support/schedules.js";

const TOPICS = ["a", "ab", "abc", "b", "bc", "c"];
const PREFIXES = ["", "a", "ab", "b", "c", "zzz"];

class Listener {
  readonly gaps = new Gaps();
  /** Records sent here and lost since the last one that came; `undefined` before the first. */
  lost: number | undefined;
  heard = 0;

  constructor(readonly prefix: string) {}
}

function story(simulation: Simulation): void {
  const { random } = simulation;
  const loss = random.pick([0, 0.1, 0.7]);
  const listeners = new Set<Listener>();
  const away = new Set<Listener>();
  const oneIn = random.pick([1, 3]);
  let generation = random.pick([0, 4_294_967_290]);
  let published = 0;

  /** As PUB does: to each listener whose prefix matches; it knows nothing of numbers. */
  const publish = (record: readonly Buffer[]): boolean => {
    published += 1;
    const topic = String(record[0]);
    const reached = [...listeners].filter(({ prefix }) => topic.startsWith(prefix));
    if (reached.length === 0) throw new Error(`Nobody asked for ${topic}`);
    for (const listener of away) {
      if (topic.startsWith(listener.prefix) && listener.lost !== undefined) listener.lost += 1;
    }
    for (const listener of reached) {
      if (random.chance(loss)) {
        if (listener.lost !== undefined) listener.lost += 1;
        continue;
      }
      const trailer = parseTrailer(record.at(-1) as Buffer);
      if (trailer === undefined) throw new Error("A record without its trailer");
      const missed = listener.gaps.note(listener.prefix.length, trailer.numbers);
      if (missed !== (listener.lost ?? 0))
        throw new Error(`"${listener.prefix}" lost ${listener.lost}, and says ${missed}`);
      listener.lost = 0;
      listener.heard += 1;
    }
    return true;
  };

  const start = (): TapRules => {
    // Another process has another beginning; one that the listeners know already would be one in four billion.
    generation = (generation + 1_000) >>> 0;
    published = 0;
    return new TapRules(
      { filter: {}, sample: { oneIn }, snapLength: 256, generation },
      {
        publish,
        subscribed: () => undefined,
        unsubscribed: () => undefined,
        predicateFailed: () => undefined,
      },
      { now: () => simulation.now },
      { now: () => simulation.now },
    );
  };
  let tap = start();

  const isAlone = ({ prefix }: Listener): boolean =>
    [...listeners].filter((other) => other.prefix === prefix).length === 1;
  const join = (listener = new Listener(random.pick(PREFIXES))): void => {
    away.delete(listener);
    simulation.note(`listener for "${listener.prefix}"`);
    listeners.add(listener);
    if (isAlone(listener)) tap.receive([Buffer.from(`\u0001${listener.prefix}`)]);
  };
  const leave = (listener = random.pick([...listeners])): void => {
    if (isAlone(listener)) {
      tap.receive([Buffer.from(`\u0000${listener.prefix}`)]);
      for (const each of [...listeners, ...away]) if (each.prefix === listener.prefix) each.lost = undefined;
    }
    listeners.delete(listener);
  };
  /** A connection is lost, and made again later. What passed meanwhile it knows if others kept the prefix alive. */
  const reconnect = (): void => {
    const listener = random.pick([...listeners]);
    away.add(listener);
    leave(listener);
    simulation.after(random.next() * 30, () => join(listener));
  };
  const restart = (): void => {
    simulation.note("the tap starts again");
    tap = start();
    for (const listener of [...listeners, ...away]) listener.lost = undefined; // What a new process does not know of is no loss.
    for (const prefix of new Set([...listeners].map((listener) => listener.prefix)))
      tap.receive([Buffer.from(`\u0001${prefix}`)]);
  };

  for (let step = 0; step < 400; step++) {
    simulation.run(step);
    const dice = random.next();
    if (dice < 0.03 && listeners.size < 8) join();
    else if (dice < 0.05 && listeners.size > 0) leave();
    else if (dice < 0.055) restart();
    else if (dice < 0.07 && listeners.size > 0) reconnect();
    else tap.offer(random.pick(["frontend", "backend"]), [Buffer.from(random.pick(TOPICS)), Buffer.alloc(3)]);
    const { passed, unheard, filtered, sampled, refused, ...rest } = tap.stats();
    if (passed !== rest.published + unheard + filtered + sampled + refused || rest.published !== published)
      throw new Error(JSON.stringify(tap.stats()));
  }
}

describe("taps and listeners in simulated time", () => {
  it("know exactly what was lost between them", { timeout: SCHEDULES_TIMEOUT }, () => {
    runSchedules(story, { count: 75 });
  });
});
