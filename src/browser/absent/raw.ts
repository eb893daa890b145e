/** Replaces engine/zmtp/raw.ts. Nothing calls it, since pages have no Stream sockets (routing.ts). */
export function openRaw(): void {}

export class RawOpening {}
