/** A page uses no memory again, and has `receiveMany`; stands in for sockets/batches.ts. */
export function defineBatches(): void {}
