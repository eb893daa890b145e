/** The values of `node:buffer` that shoal reads. */
export const constants = {
  /** Largest Buffer in bytes: below engine limits, and more than a page should hold. */
  MAX_LENGTH: 0x7fff_ffff,
} as const;
