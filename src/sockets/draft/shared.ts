/** The exports that `shoal/draft` and `shoal/browser/draft` share. */

export type { AddressedWritable } from "./addressed.js";
export type {
  AddressedIn,
  GroupAddress,
  MessageGroup,
  PeerAddress,
  SingleIn,
  SingleOut,
} from "./single-frame.js";
export * from "./sockets.js";
