/**
 * The pair under generated schedules: never two masters that both answer past the
 * fencing rule, and never none for long once the faults are over.
 */
import { expect, test } from "vitest";
import { Network } from "../../../src/testing/network.js";
import type { Simulation } from "../../../src/testing/simulation.js";
import { runSchedules, SCHEDULES_TIMEOUT, TRIES_MANY } from "../../support/schedules.js";
import { HEARTBEAT, PairServer } from "./pair.js";

/** Schedules of each test in a default run. */
const COUNT = 350;
/** ms of trouble in each schedule, and of peace after it. */
const TROUBLE = 30_000;
const PEACE = 12_000;
/** ms a state takes at most: it varies by less than the half heartbeat that the rules allow. */
const MAX_DELAY = 400;
/** ms from the end of a disturbance until two masters must have heard of each other, past the heartbeat of grace. */
const SETTLED = 2 * HEARTBEAT + 2 * MAX_DELAY;

interface Pair {
  readonly simulation: Simulation;
  readonly network: Network;
  readonly a: PairServer;
  readonly b: PairServer;
  /** When the two could last not hear each other. */
  disturbedAt: number;
}

function makePair(simulation: Simulation, loss: number): Pair {
  const network = new Network(simulation, { delay: [0, MAX_DELAY], loss, duplication: 0 });
  const a = new PairServer("primary", "primary", "backup", simulation, network);
  const b = new PairServer("backup", "backup", "primary", simulation, network);
  const { random } = simulation;
  for (const server of [a, b]) simulation.at(random.integer(0, 4_000), () => server.start());
  return { simulation, network, a, b, disturbedAt: 0 };
}

/** Clients that reach both servers and ask either, as if each had just failed them. */
function startClients({ simulation, a, b }: Pair, until: number): void {
  const { random } = simulation;
  const ask = (): void => {
    random.pick([a, b]).request();
    if (simulation.now < until) simulation.after(random.integer(20, 700), ask);
  };
  simulation.after(random.integer(0, 500), ask);
}

/** Every so often something happens to one of the servers. */
function startTrouble(pair: Pair, actions: readonly ((server: PairServer) => void)[]): void {
  const { simulation, a, b } = pair;
  const { random } = simulation;
  const strike = (): void => {
    if (simulation.now > TROUBLE) return;
    random.pick(actions)(random.pick([a, b]));
    simulation.after(random.integer(50, 4_000), strike);
  };
  simulation.after(random.integer(0, 6_000), strike);
}

function crash(server: PairServer): void {
  const { simulation } = server;
  server.crash();
  simulation.after(simulation.random.integer(10, 6_000), () => server.start());
}

function freeze(server: PairServer): void {
  const { simulation } = server;
  server.freeze();
  simulation.after(simulation.random.integer(100, 6_000), () => server.thaw());
}

const handOver = (server: PairServer): void => {
  server.operate((rules, now) => rules.handOver(now));
};

/** The operator repairs what is fenced, a step at a time: of two masters the loser first, of none the winner first. */
function repair(pair: Pair): void {
  const { a: winner, b: loser } = pair;
  pair.disturbedAt = Math.max(pair.disturbedAt, pair.simulation.now);
  const resolve = (server: PairServer, choice: "active" | "passive"): boolean =>
    server.rules?.fence !== undefined && server.operate((rules, now) => rules.resolve(choice, now));
  if (resolve(loser, "passive")) return;
  if (resolve(winner, "active")) return;
  // One of them is fenced alone: it becomes what the other is not.
  if (resolve(loser, "active")) return;
  resolve(winner, "passive");
}

/** Peace: exactly one serves in the end, and answers. */
function expectOneMaster(pair: Pair): void {
  const { simulation, a, b } = pair;
  for (const server of [a, b]) {
    server.thaw();
    server.start();
  }
  const keepRepairing = (): void => {
    repair(pair);
    if (simulation.now < TROUBLE + PEACE - 4 * HEARTBEAT) simulation.after(HEARTBEAT, keepRepairing);
  };
  keepRepairing();
  simulation.run(TROUBLE + PEACE);
  const before = a.answers + b.answers;
  for (const server of [a, b]) server.request();
  if (Number(a.rules?.serving) + Number(b.rules?.serving) !== 1)
    throw new Error("not exactly one master in the end");
  if (a.answers + b.answers !== before + 1) throw new Error("nobody answers in the end");
}

test("without a cut between the servers there are never two masters, whatever crashes or is stopped", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  let answers = 0;
  const tried = runSchedules(
    (simulation) => {
      const pair = makePair(simulation, 0);
      const { a, b } = pair;
      for (const [server, other] of [
        [a, b],
        [b, a],
      ] as const) {
        server.onAnswer = () => {
          answers += 1;
          if (other.answersNow) throw new Error(`${server.name} answers while ${other.name} is master`);
        };
      }
      startClients(pair, TROUBLE + PEACE);
      startTrouble(pair, [crash, freeze, handOver]);
      simulation.run(TROUBLE);
      if (a.fences + b.fences > 0) throw new Error("fenced without a cut");
      expectOneMaster(pair);
    },
    { count: COUNT },
  );
  if (TRIES_MANY) expect(answers).toBeGreaterThan(tried * 10);
});

test("two masters take a cut, end with the first state that passes, and are fenced until the operator resolves", {
  timeout: SCHEDULES_TIMEOUT,
}, () => {
  let fences = 0;
  const tried = runSchedules(
    (simulation) => {
      const pair = makePair(simulation, simulation.random.chance(0.5) ? 0 : 0.3);
      const { a, b, network } = pair;
      for (const [server, other] of [
        [a, b],
        [b, a],
      ] as const) {
        server.onAnswer = () => {
          if (server.rivalsHeard > 0)
            throw new Error(`${server.name} answers although it heard of its rival`);
          if (!other.answersNow || network.faults.loss > 0) return;
          const undisturbed = simulation.now - pair.disturbedAt;
          if (undisturbed > SETTLED)
            throw new Error(`two masters, ${undisturbed} ms after the last disturbance`);
        };
      }
      let cuts = 0;
      const cut = (): void => {
        cuts += 1;
        network.cut("primary", "backup");
        pair.disturbedAt = Number.POSITIVE_INFINITY;
        simulation.after(simulation.random.integer(200, 8_000), () => {
          cuts -= 1;
          if (cuts > 0) return;
          network.heal("primary", "backup");
          pair.disturbedAt = simulation.now;
        });
      };
      startClients(pair, TROUBLE + PEACE);
      startTrouble(
        pair,
        [cut, cut, crash, freeze, handOver, () => repair(pair)].map((action) => (server) => {
          // A stop delays what is heard, a crash loses it.
          if (action === freeze || action === crash)
            pair.disturbedAt = Math.max(pair.disturbedAt, simulation.now + 6_000);
          action(server);
        }),
      );
      simulation.run(TROUBLE);
      network.healAll();
      network.faults = { ...network.faults, loss: 0 };
      pair.disturbedAt = simulation.now;
      fences += a.fences + b.fences;
      expectOneMaster(pair);
    },
    { count: COUNT },
  );
  if (TRIES_MANY) expect(fences).toBeGreaterThan(tried / 10); // It was not for nothing.
});
