/**
 * STREAM: raw TCP. Each piece that comes is a message [routing id | bytes]; an
 * empty piece tells that a peer came or went (option `notify`), and one that is
 * sent closes the connection.
 */
import { OfferResult, type OutgoingFrame, type OutgoingMessage } from "../../engine.js";
import { RouterRouting } from "./router.js";

export class StreamRouting extends RouterRouting {
  override offer(message: OutgoingMessage): OfferResult {
    if (!Array.isArray(message) || message.length < 2) return OfferResult.Unroutable;
    const pipe = this.find(message[0] as OutgoingFrame);
    if (pipe === undefined || pipe.link === undefined) return OfferResult.Unroutable;
    if (!pipe.hasRoom()) return OfferResult.Mute;
    const bytes = message[1] as OutgoingFrame;
    if (bytes.length === 0) this.host.closePipe(pipe, "local");
    else pipe.sendRaw(bytes, 1);
    return OfferResult.Accepted;
  }
}
