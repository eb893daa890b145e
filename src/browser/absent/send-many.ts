/** A page has no `sendMany`; stands in for sockets/send-many.ts. */
export function defineSendMany(): void {}
