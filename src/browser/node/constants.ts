/** What shoal uses of `node:buffer`, `node:os` and `node:util`. */
export const constants = {
  /** Bytes of a Buffer: below engine limits, and more than a page should hold. */
  MAX_LENGTH: 0x7fff_ffff,
  /** A page has no system's error numbers. */
  errno: {},
} as const;

/** A page has no `NODE_DEBUG`. */
export const debuglog = () => Object.assign((): void => undefined, { enabled: false });
