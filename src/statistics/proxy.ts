/** Statistics of proxies. */
import { byReason, counter, gauge, optionalGauge, states } from "./rows.js";

/** Only metrics: both sides and both directions share them. A key is a path, and `{label}` visits each member. */
export const PROXY_SIDE = {
  "{direction}.messages": counter("Messages received or sent at a side.", "messages"),
  "{direction}.bytes": counter("Bytes of these messages, without framing.", "bytes"),
  "{direction}.dropped": byReason(
    "Messages that were received but not forwarded, or could not be sent.",
    "dropped",
  ),
  refused: byReason("Peers and messages refused by the side's policy."),
  "{direction}.queued": gauge("Messages waiting to be received or sent.", "queued_messages"),
  peers: gauge("Connected peers."),
  reconnects: counter("Connections made again after a loss."),
  handshakeErrors: byReason("Failed handshakes with peers."),
};

export const PROXY_CAPTURE = {
  captured: counter("Captured messages."),
  /** Missed copies: those a PUSH refused, or slow or departing subscribers did not get. */
  missed: counter("Messages or copies missed because the capture was too slow.", "capture_missed"),
  /** Messages or copies waiting for a subscriber, as far as the engine can count. */
  queued: gauge("Copies waiting for a listener of the capture.", "capture_queued_messages"),
  /** Subscribers; `undefined` if the engine cannot tell. */
  peers: optionalGauge("Connected listeners of the capture.", "capture_peers"),
};

export const PROXY_CONTROL = {
  commands: counter("Executed commands.", "control_commands"),
  refused: counter("Control messages that are not a command, or do not fit the state.", "control_refused"),
};

export const PROXY = {
  /** Requests of the last minute without a reply; 0 for one-way proxies. */
  unanswered: gauge("Requests of the last minute without a reply yet.", "unanswered_requests"),
  state: states("1 for the current state of the proxy, else 0.", [
    "idle",
    "starting",
    "running",
    "paused",
    "draining",
    "drained",
    "stopping",
    "stopped",
  ]),
};
