/** All that leaves a page is framed first; stands in for engine/zmtp/plain-write.ts. */
export function writePlain(): void {}

export function pinSegments(): void {}
