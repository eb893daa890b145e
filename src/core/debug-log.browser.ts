/** Replaces core/debug-log.ts. */
export const DEBUG = (): void => undefined;
export const IS_DEBUG = false;
