/** Prints connection steps that are not events; set only with `NODE_DEBUG=shoal` (sockets/debug-log.ts). */
export const debug: { print: ((line: string) => void) | undefined } = { print: undefined };
