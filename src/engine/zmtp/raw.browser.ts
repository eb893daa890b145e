/** Replaces engine/zmtp/raw.ts. Nothing calls it, since pages have no Stream sockets (sockets/routings.browser.ts). */
export function openRaw(): void {}

export class RawOpening {}
