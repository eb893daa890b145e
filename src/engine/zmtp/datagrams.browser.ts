/** Replaces engine/zmtp/datagrams.ts. schemes.ts refuses datagram endpoints earlier. */
export const HAS_DATAGRAMS = false;

export function assertPlainDatagrams(): void {}

export class Datagrams {
  readonly connected = false;

  disconnect(): boolean {
    return false;
  }

  stopAll(): void {}
}
