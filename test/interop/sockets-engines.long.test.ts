/** Every socket type of each engine against each engine, both ways. By default, contract tests have zmtp with itself, and pyzmq is libzmq. */
import { ENGINES } from "../support/engines.js";
import { describeMatrix } from "./matrix.js";
import { LocalPeer } from "./peer.js";

for (const theirs of ENGINES) describeMatrix(`engine ${theirs}`, () => LocalPeer.start(theirs), false);
