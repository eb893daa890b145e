/** Which mechanism a connection speaks. Both ends have to name the same one in their greetings. */
import { CurveClient } from "./curve-client.js";
import { CurveServer } from "./curve-server.js";
import type { Mechanism, MechanismOptions } from "./mechanism.js";
import { NullMechanism } from "./null.js";
import { PlainClient, PlainServer } from "./plain.js";

/**
 * A mechanism for one handshake.
 *
 * @param isServer the role that the socket's options give it; NULL has none
 * @throws InvalidArgumentError `EINVAL` for options that the mechanism cannot work with, such as a missing key
 * @throws InvalidArgumentError, NotSupportedError for CURVE, when `SHOAL_CURVE` insists on a box there is not (curve-box.ts)
 */
export function createMechanism(
  name: Mechanism["name"],
  isServer: boolean,
  options: MechanismOptions,
): Mechanism {
  switch (name) {
    case "NULL":
      return new NullMechanism(options);
    case "PLAIN":
      return isServer ? new PlainServer(options) : new PlainClient(options);
    case "CURVE":
      return isServer ? new CurveServer(options) : new CurveClient(options);
  }
}
