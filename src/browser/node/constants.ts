/** Values of `node:buffer`. */
export const constants = {
  /** Bytes of a Buffer: below engine limits, and more than a page should hold. */
  MAX_LENGTH: 0x7fff_ffff,
} as const;
