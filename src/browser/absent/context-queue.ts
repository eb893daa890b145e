/** No contexts of traces; stands in for engine/zmtp/context-queue.ts. */
export const CONTEXT_COMMAND = "";
export function beginContexts(): void {}
export function contextArrived(): void {}
export function contextsOf(): undefined {}
export function endContexts(): void {}
export function sendContext(): void {}
export function withContextProperty(): undefined {}
export function withContexts(): undefined {}
