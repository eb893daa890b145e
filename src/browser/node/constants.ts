/** What shoal reads of `node:buffer`. */
export const constants = {
  /** Bytes of the largest Buffer: less than what engines allow, and more than a page should hold. */
  MAX_LENGTH: 0x7fff_ffff,
} as const;
