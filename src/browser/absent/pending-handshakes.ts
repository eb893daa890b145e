/** Nobody connects to a page, so no handshakes of peers wait; stands in for engine/zmtp/pending-handshakes.ts. */
export const HandshakeStage = { refused: 0, silent: 1, begun: 2, secured: 3 } as const;

export class PendingHandshakes {
  readonly size = 0;

  delete(): void {}
}
