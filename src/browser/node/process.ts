/** The part of `process` that shoal uses in pages. */
export const process = {
  nextTick<A extends unknown[]>(call: (...args: A) => void, ...args: A): void {
    queueMicrotask(args.length === 0 ? (call as () => void) : () => call(...args));
  },

  emitWarning(text: string): void {
    // biome-ignore lint/suspicious/noConsole: a page has no other place for warnings
    console.warn(text);
  },
};
