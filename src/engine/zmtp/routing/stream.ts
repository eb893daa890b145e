/**
 * STREAM: raw TCP. Each piece that comes is a message [routing id | bytes]; an
 * empty piece tells that a peer came or went (option `notify`), and one that is
 * sent closes the connection.
 */
import { OfferResult, type OutgoingFrame, type OutgoingMessage } from "../../engine.js";
import { RouterRouting } from "./router.js";

export class StreamRouting extends RouterRouting {
  /** What passes here is not framed. */
  override get relaySource(): undefined {
    return undefined;
  }

  override get relaySink(): undefined {
    return undefined;
  }

  override offer(message: OutgoingMessage): OfferResult {
    if (!Array.isArray(message) || message.length < 2) return OfferResult.Unroutable;
    const pipe = this.find(message[0] as OutgoingFrame);
    if (pipe === undefined) return OfferResult.Unroutable;
    const bytes = message[1] as OutgoingFrame;
    // There is no connection to end yet; `disconnect` ends the attempts.
    if (bytes.length === 0 && pipe.link === undefined) return OfferResult.Unroutable;
    // A peer that does not read can be hung up on, too.
    if (bytes.length === 0) this.host.closePipe(pipe, "local");
    // Not mute: other peers go on.
    else if (!pipe.hasRoom()) return OfferResult.PeerFull;
    else pipe.sendRaw(bytes, 1);
    return OfferResult.Accepted;
  }
}
