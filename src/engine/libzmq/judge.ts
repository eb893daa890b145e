/**
 * Has the authentication service (zap.ts) ask a socket's `authenticate` hook,
 * and reports the peers that it refuses.
 */
import { HandshakeError } from "../../core/errors.js";
import type { EngineListener, PeerCredentials } from "../engine.js";

/**
 * What the service asks for one socket. It holds the socket weakly, so that one
 * that the program forgot can be collected; nobody gets in then.
 *
 * @param options the socket's, for the domain that the program gave it
 */
export function authenticatorFor(
  options: WeakRef<Readonly<Record<string, unknown>>>,
  listener: WeakRef<EngineListener>,
): (peer: PeerCredentials) => Promise<boolean> {
  return async (peer) => {
    const socket = listener.deref();
    const authenticate = socket?.engineAuthenticate;
    if (socket === undefined || authenticate === undefined) return false;
    const domain = options.deref()?.zapDomain;
    let cause: unknown;
    try {
      if (await authenticate({ ...peer, domain: typeof domain === "string" ? domain : "" })) return true;
    } catch (error) {
      cause = error; // A hook that fails refuses: the safe answer.
    }
    const { address, mechanism } = peer;
    const error = new HandshakeError("ERR_AUTHENTICATION", `Refused a ${mechanism} peer from ${address}`, {
      status: 400,
      endpoint: address,
      cause,
    });
    socket.engineOnEvent({ type: "peer:refused", address, mechanism, error });
    return false;
  };
}
