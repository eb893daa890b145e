/** The part of `process` that shoal uses. `on` never fires, since nothing can await a page's end. */
export const process = {
  env: {} as Readonly<Record<string, string | undefined>>,
  versions: {} as Readonly<Record<string, string | undefined>>,
  platform: "browser",

  nextTick<A extends unknown[]>(call: (...args: A) => void, ...args: A): void {
    queueMicrotask(args.length === 0 ? (call as () => void) : () => call(...args));
  },

  emitWarning(text: string): void {
    // biome-ignore lint/suspicious/noConsole: a page has no other place for warnings
    console.warn(text);
  },

  on(): void {},

  off(): void {},
};
