/** Espresso: a tap on a proxy, and listeners that receive its messages as records. */

export * from "../../kit/index.js";
export type { ProxySide } from "../../sockets/pump.js";
export {
  EspressoListener,
  type EspressoListenerOptions,
  type EspressoListenerStats,
  type EspressoRecord,
} from "./listener.js";
export { EspressoTap, type EspressoTapEvent, type EspressoTapOptions, type EspressoTapStats } from "./tap.js";
