/** No contexts of traces; stands in for engine/message-context.ts. */
export const CARRIES_CONTEXT = false;
export const MAX_MESSAGE_CONTEXT = 0;
export function attachContext(): void {}
export function attachedContext(): undefined {}
export function keepContext(): void {}
export function moveContext(): void {}
export function receivedContext(): undefined {}
