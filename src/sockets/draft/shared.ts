/** The exports that `shoal/draft` and `shoal/browser/draft` share. */

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
export { Dish, type DishOptions, Radio, type RadioOptions } from "./radio-dish.js";
export {
  Gather,
  type GatherOptions,
  Scatter,
  type ScatterOptions,
} from "./scatter-gather.js";
export type {
  AddressedIn,
  GroupAddress,
  MessageGroup,
  PeerAddress,
  SingleIn,
  SingleOut,
} from "./single-frame.js";
