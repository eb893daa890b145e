/** A page learns nothing of what its system has sent; stands in for engine/zmtp/system-silence.ts. */
export class SystemSilence {
  end(): void {}

  sureAt(): undefined {}
}
