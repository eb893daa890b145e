/** A terminal's second screen: taken, drawn anew, and given back however the program ends. */
import type { WriteStream } from "node:tty";

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
const HOME = "\u001b[H";
const CLEAR_LINE = "\u001b[K";
const CLEAR_BELOW = "\u001b[J";

export class Screen {
  readonly #out: WriteStream;
  #isOpen = false;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  open(): void {
    this.#isOpen = true;
    this.#out.write(ENTER);
    process.on("exit", this.close);
  }

  /** Draws from the upper left corner; lines without room are not drawn. */
  draw(lines: readonly string[]): void {
    if (!this.#isOpen) return;
    const shown = lines.slice(0, Math.max(1, this.#out.rows - 1));
    this.#out.write(`${HOME}${shown.map((line) => `${line}${CLEAR_LINE}\r\n`).join("")}${CLEAR_BELOW}`);
  }

  /** What was there before is there again. */
  readonly close = (): void => {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.off("exit", this.close);
    this.#out.write(LEAVE);
  };
}
