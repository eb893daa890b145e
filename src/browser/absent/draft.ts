/** No draft socket types; stands in for sockets/draft/addressed.ts and single-frame.ts. */

export const ADDRESSED = {};

export function singleFrameShape(): undefined {}
