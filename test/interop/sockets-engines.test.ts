/** Every socket type of the zmtp engine against both engines, both ways; SHOAL_LONG=1 has each engine against each. */
import { ENGINE_NAMES } from "../../src/engine/select.js";
import { describeMatrix } from "./matrix.js";
import { LocalPeer } from "./peer.js";

for (const theirs of ENGINE_NAMES) {
  const ours = process.env.SHOAL_LONG === "1" ? ENGINE_NAMES : ["zmtp"];
  describeMatrix(`engine ${theirs}`, () => LocalPeer.start(theirs), false, ours);
}
