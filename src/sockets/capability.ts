import { context } from "./context.js";

/** Features of the default engine, named as in the package `zeromq`; absent or false if it lacks one. */
export interface Capability {
  readonly ipc?: boolean;
  readonly pgm?: boolean;
  readonly tipc?: boolean;
  readonly norm?: boolean;
  readonly curve?: boolean;
  readonly gssapi?: boolean;
  readonly draft?: boolean;
  /** Native CURVE by the package `sodium-native`; absent with the engine `libzmq`, which has its own. */
  readonly sodium?: boolean;
}

const features = (): Readonly<Record<string, boolean>> => context.load().features;

/** Features of the process-wide context's engine, which loads with the first property. */
export const capability: Capability = new globalThis.Proxy({} as Record<string, boolean>, {
  get: (_, name) => (typeof name === "string" ? features()[name] : undefined),
  has: (_, name) => Reflect.has(features(), name),
  ownKeys: () => Reflect.ownKeys(features()),
  getOwnPropertyDescriptor: (_, name) =>
    Reflect.has(features(), name)
      ? { value: features()[name as string], enumerable: true, configurable: true }
      : undefined,
});

/** The libzmq release whose behaviour the sockets have; a constant, because reading it would load the addon. */
export const version = "4.3.5";
