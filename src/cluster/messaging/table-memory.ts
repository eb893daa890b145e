/**
 * Memory of large tables that V8 does not count while it is used.
 *
 * V8 counts the bytes of ArrayBuffers, and begins a full collection when they have grown by some MB since the last one. A table that
 * grows by fifty frees nothing by that; where a node with a million routes joins, that was ten collections in which threads of
 * the collector take the processor from messages. Shared memory is not counted. So that what a table leaves is not kept for long, V8 is made
 * to count it from then on: by an ordinary buffer of its size, which nobody touches and which goes with it.
 *
 *   take ──> used, not counted ──leave──> counted ──collected──> its counterpart is garbage, too
 */

/** What goes along with memory that was left, until that is collected. */
const counterparts = new FinalizationRegistry<ArrayBuffer>(() => undefined);

/** Makes memory of so many bytes, filled with 0. */
export type TakeMemory = (bytes: number) => ArrayBufferLike;

export const takeCounted: TakeMemory = (bytes) => new ArrayBuffer(bytes);

/** Its owner gives it to `leaveMemory` when it needs it no longer. */
export const takeUncounted: TakeMemory = (bytes) => new SharedArrayBuffer(bytes);

/** From now on V8 counts it, where it is of `takeUncounted`. It may be read as long as there is a reference. */
export function leaveMemory(memory: ArrayBufferLike): void {
  if (memory instanceof SharedArrayBuffer) counterparts.register(memory, new ArrayBuffer(memory.byteLength));
}
