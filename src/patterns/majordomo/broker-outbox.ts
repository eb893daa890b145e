/** What a broker's rules ask of their driver. */
import type { BrokerEvent } from "./broker-events.js";
import type { Frames } from "./messages-broker.js";

/** What became of a message: `gone`, no such peer is connected; `full`, it does not read. */
export type SendResult = "sent" | "gone" | "full";

export interface BrokerOutbox {
  /** @param message the first frame is the routing id */
  send(message: Frames): SendResult;
  /** Bytes that wait for a client at the socket. Absent where the engine cannot know. */
  readonly queuedBytes?: ((client: Buffer) => number) | undefined;
  event(event: BrokerEvent): void;
}
