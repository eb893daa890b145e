export * from "../kit/index.js";
export type { TapFilter, TapSample } from "./filter.js";
export {
  EspressoListener,
  type EspressoListenerOptions,
  type ListenerStats as EspressoListenerStats,
  type TapRecord,
} from "./listener.js";
export type { Side as ProxySide } from "./protocol.js";
export {
  EspressoTap,
  type EspressoTapOptions,
  type TapEvent as EspressoTapEvent,
  type TapStats as EspressoTapStats,
} from "./tap.js";
