/** No raw TCP; stands in for engine/zmtp/raw.ts. Nothing makes one: there is no Stream (routing.ts). */
export class RawConnection {}
