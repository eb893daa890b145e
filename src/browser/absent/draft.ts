/** No draft socket types; stands in for sockets/draft/addressed.ts and single-frame.ts. */

export function defineAddressed(): boolean {
  return false;
}

export function singleFrameShape(): undefined {}
