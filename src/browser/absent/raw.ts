/** No raw TCP; stands in for engine/zmtp/raw.ts. Nothing calls it: there is no Stream (routing.ts). */
export function openRaw(): void {}

export class RawOpening {}
