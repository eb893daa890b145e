/** Whole frames, one behind the other, in the memory they came in. */
import type { Loan } from "./loan.js";

export class Run {
  readonly memory: ArrayBufferLike;
  readonly bytes: Uint8Array;
  /** Of `bytes` in `memory`. */
  readonly base: number;
  position: number;
  readonly end: number;
  /** Of the memory, if that is used again; counted for this run. */
  loan: Loan | undefined;
  /** Nobody else refers to these bytes: they may be moved. */
  readonly own: boolean;

  constructor(bytes: Uint8Array, position: number, end: number, loan: Loan | undefined, own: boolean) {
    this.memory = bytes.buffer;
    this.bytes = bytes;
    this.base = bytes.byteOffset;
    this.position = position;
    this.end = end;
    this.loan = loan;
    this.own = own;
  }

  /** The program gets views of it. */
  keep(): void {
    this.loan?.keep();
    this.loan = undefined;
  }

  /** Those before `end`, from where this one has been taken to. */
  before(end: number): Run {
    return new Run(this.bytes, this.position, end, this.loan, this.own);
  }
}
