/** The kinds of programs that can be killed and started again, and that can watch another be. */
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
