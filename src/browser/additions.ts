/**
 * What a page adds to its sockets by an import of its own, so that pages without it do not load it. Stand-ins of
 * src/browser/absent look here.
 */
import type { FrameCipher, Mechanism, MechanismOptions } from "../engine/zmtp/mechanism/mechanism.js";
import type { Sealer } from "../engine/zmtp/sealer.js";

/** CURVE: both sides of its handshake, and frames through its cipher. */
export interface CurveParts {
  server(options: MechanismOptions): Mechanism;
  client(options: MechanismOptions): Mechanism;
  sealer(cipher: FrameCipher): Sealer;
}

export const ADDITIONS: { curve: CurveParts | undefined } = { curve: undefined };
