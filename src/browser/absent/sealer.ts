/** No frames through a cipher: there is no CURVE. Stands in for engine/zmtp/sealer.ts; nothing makes one. */
export class Sealer {}
