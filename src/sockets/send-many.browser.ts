/** Replaces sockets/send-many.ts: no `sendMany`. */
export const SENDING_MANY = {};
