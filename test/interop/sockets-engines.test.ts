/** Every socket type of the zmtp engine against both engines, both ways; SHOAL_LONG=1 has each engine against each. */
import { ENGINES } from "../support/engines.js";
import { LONG } from "../support/long.js";
import { describeMatrix } from "./matrix.js";
import { LocalPeer } from "./peer.js";

for (const theirs of ENGINES) {
  const ours = LONG ? ENGINES : ["zmtp"];
  describeMatrix(`engine ${theirs}`, () => LocalPeer.start(theirs), false, ours);
}
