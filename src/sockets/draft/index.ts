/**
 * The draft socket types of `zeromq/draft`, with PEER and CHANNEL: single-frame messages, on the engine `zmtp` only. The RFCs
 * may still change.
 *
 * @module
 */
export type { AddressedWritable } from "./addressed.js";
export { Channel, type ChannelOptions } from "./channel.js";
export {
  Client,
  type ClientOptions,
  Peer,
  type PeerOptions,
  Server,
  type ServerOptions,
} from "./client-server.js";
export { Datagram, type DatagramOptions } from "./datagram.js";
export { Dish, type DishOptions, Radio, type RadioOptions } from "./radio-dish.js";
export { Gather, type GatherOptions, Scatter, type ScatterOptions } from "./scatter-gather.js";
export type {
  AddressedIn,
  GroupAddress,
  MessageGroup,
  PeerAddress,
  SingleIn,
  SingleOut,
} from "./single-frame.js";
