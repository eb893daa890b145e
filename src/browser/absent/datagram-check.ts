/** A page has no udp, which schemes.ts refuses; stands in for sockets/datagram-check.ts. */
export function checkDatagrams(): void {}
