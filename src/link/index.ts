export { LinkChannel } from "./channel.js";
export {
  MultiplexLink,
  type MultiplexLinkEvent,
  type MultiplexLinkOptions,
  type MultiplexLinkStats,
  openLink,
} from "./link.js";
export type { OpenChannelOptions } from "./options.js";
export type { LinkRole } from "./security.js";
export {
  type AcceptLinksOptions,
  acceptLinks,
  type DialLinkOptions,
  dialLink,
} from "./streams.js";
export {
  type LinkStatus,
  MultiplexTransport,
  type MultiplexTransportEvent,
  type MultiplexTransportOptions,
  type MultiplexTransportStats,
  type NameStatus,
  type TransportLinkStatus,
} from "./transport.js";
