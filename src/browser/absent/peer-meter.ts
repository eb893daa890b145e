/** Rates are those of proxies' policies, and a page has no proxies; stands in for engine/zmtp/peer-meter.ts. */
export const HAS_POLICIES = false;

export class PeerMeter {}
