/** What shoal uses of the modules of Node.js that a page lacks. */
export const constants = {
  /** Bytes of a Buffer: below engine limits, and more than a page should hold. */
  MAX_LENGTH: 0x7fff_ffff,
  /** A page has no system's error numbers. */
  errno: {},
} as const;

/** A page has no `node:diagnostics_channel`. */
export const channel = () => ({ hasSubscribers: false, publish: (): void => undefined });

/** A page has no `NODE_DEBUG`. */
export const debuglog = () => Object.assign((): void => undefined, { enabled: false });

/** A page has no `node:worker_threads`. */
export default {};
