/** Values of `node:buffer` and `node:os`. */
export const constants = {
  /** Bytes of a Buffer: below engine limits, and more than a page should hold. */
  MAX_LENGTH: 0x7fff_ffff,
  /** A page has no system's error numbers. */
  errno: {},
} as const;
