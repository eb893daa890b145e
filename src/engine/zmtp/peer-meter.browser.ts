/** Replaces engine/zmtp/peer-meter.ts: rates belong to proxies' policies, and a page runs no proxies. */
export const HAS_POLICIES = false;

export class PeerMeter {}
