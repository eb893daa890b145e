/** The kinds of programs that can be killed and started again, and that can watch another be. */
import { afterAll, afterEach, beforeAll } from "vitest";
import { ENGINES } from "../support/engines.js";
import { LONG } from "../support/long.js";
import { LocalPeer, type Peer, type ProcessPeer, startShoal } from "./peer.js";
import { NO_PYTHON, startPython } from "./python-peer.js";

/** How a program lives as long as the tests, and how it is started to be killed. */
export interface Kind {
  readonly title: string;
  readonly skip: string | false;
  readonly stays: () => Promise<Peer>;
  readonly dies: () => Promise<ProcessPeer>;
}

export const engineKind = (engine: string): Kind => ({
  title: `engine ${engine}`,
  skip: false,
  stays: () => LocalPeer.start(engine),
  dies: () => startShoal(engine),
});
const PYZMQ: Kind = { title: "pyzmq", skip: NO_PYTHON, stays: startPython, dies: startPython };

/** Engines of ours that meet others: libzmq, which is libzmq on both sides, in the long form alone. */
export const OURS: readonly string[] = LONG ? ENGINES : ["zmtp"];
/** Programs that an engine of ours can meet: pyzmq, and in the long form all. */
export const OTHERS: readonly Kind[] = LONG ? [...ENGINES.map(engineKind), PYZMQ] : [PYZMQ];

/** One that stays for the tests of a group, and those that are started to be killed, after their test at the latest. */
export function useSurvivor(kind: Kind) {
  let survivor: Peer | undefined;
  const victims: ProcessPeer[] = [];
  beforeAll(async () => {
    survivor = await kind.stays();
  });
  afterEach(async () => {
    const killed = victims.splice(0).map((victim) => victim.child.kill());
    await Promise.all([survivor?.call("close_all"), ...killed]);
  });
  afterAll(() => survivor?.stop());
  async function start({ dies }: Kind): Promise<ProcessPeer> {
    const victim = await dies();
    victims.push(victim);
    return victim;
  }
  return { start, survivor: () => survivor as Peer };
}
