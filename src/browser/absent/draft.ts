/** Replaces sockets/draft/addressed.ts and single-frame.ts: no draft socket types. */

export const ADDRESSED = {};

export function singleFrameShape(): undefined {}
