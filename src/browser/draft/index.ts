/**
 * The draft socket types for `shoal/browser`, over `ws://`, `wss://` and inproc. The RFCs may still change.
 *
 * @module
 */
export type { AddressedWritable } from "../../sockets/draft/addressed.js";
export { Channel, type ChannelOptions } from "../../sockets/draft/channel.js";
export {
  Client,
  type ClientOptions,
  Peer,
  type PeerOptions,
  Server,
  type ServerOptions,
} from "../../sockets/draft/client-server.js";
export { Dish, type DishOptions, Radio, type RadioOptions } from "../../sockets/draft/radio-dish.js";
export {
  Gather,
  type GatherOptions,
  Scatter,
  type ScatterOptions,
} from "../../sockets/draft/scatter-gather.js";
export type {
  AddressedIn,
  GroupAddress,
  MessageGroup,
  PeerAddress,
  SingleIn,
  SingleOut,
} from "../../sockets/draft/single-frame.js";

// Puts code shared by both entry points into the main one.
import "../index.js";
