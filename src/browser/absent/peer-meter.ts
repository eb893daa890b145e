/** Rates are those of proxies' policies, and a page has no proxies; stands in for engine/zmtp/peer-meter.ts. */

export class PeerMeter {
  readonly messages: number = Number.POSITIVE_INFINITY;

  spend(): void {}

  change(): void {}

  end(): void {}
}
