/**
 * Memory of large tables that V8 does not count while it is used.
 *
 * V8 begins a full collection when the bytes of ArrayBuffers have grown by some MB, which a growing table does without
 * garbage: a joining node with a million routes cost ten collections. Shared memory is not counted. When a table is
 * dropped, V8 is made to count its memory by an untouched ordinary buffer of its size, which is collected with it.
 *
 *   take ──> used, not counted ──leave──> counted ──collected──> its counterpart is garbage, too
 */

/** Kept until the dropped memory is collected. */
const counterparts = new FinalizationRegistry<ArrayBuffer>(() => undefined);

/** @returns memory filled with 0 */
export type TakeMemory = (bytes: number) => ArrayBufferLike;

export const takeCounted: TakeMemory = (bytes) => new ArrayBuffer(bytes);

/** Its owner passes dropped memory to `leaveMemory`. */
export const takeUncounted: TakeMemory = (bytes) => new SharedArrayBuffer(bytes);

/** From now on V8 counts memory of `takeUncounted`, which may still be read. */
export function leaveMemory(memory: ArrayBufferLike): void {
  if (memory instanceof SharedArrayBuffer) counterparts.register(memory, new ArrayBuffer(memory.byteLength));
}
