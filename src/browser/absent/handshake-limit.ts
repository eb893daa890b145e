/** Nobody connects to a page, so no handshakes wait for each other; stands in for engine/zmtp/handshake-limit.ts. */

export class HandshakeLimit {
  add(): void {}

  delete(): void {}

  evictOne(): boolean {
    return false;
  }
}
