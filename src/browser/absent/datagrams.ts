/**
 * No datagrams: the build puts it in the place of engine/zmtp/datagrams.ts (rolldown.config.js). A page refuses their endpoints
 * before a socket sees them (schemes.ts).
 */
export const HAS_DATAGRAMS = false;

export function assertPlainDatagrams(): void {}

export class Datagrams {
  readonly connected = false;

  disconnect(): boolean {
    return false;
  }

  stopAll(): void {}
}
