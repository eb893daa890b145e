/** Where a step of a connection is printed that is no event: set with `NODE_DEBUG=shoal` alone (sockets/debug-log.ts). */
export const debug: { print: ((line: string) => void) | undefined } = { print: undefined };
