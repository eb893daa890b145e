/** A page has no `sendMany`; stands in for sockets/send-many.ts. */
export const SENDING_MANY = {};
