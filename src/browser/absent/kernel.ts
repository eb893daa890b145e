/** A page has WebSockets only; stands in for engine/zmtp/kernel.ts. */
export const KERNEL = false;
