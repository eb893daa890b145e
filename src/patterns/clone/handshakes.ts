/** The events of a socket whose connection is not let in, or lets nobody in. */
export const HANDSHAKE_ERRORS = [
  "handshake:error:auth",
  "handshake:error:protocol",
  "handshake:error:other",
] as const;
