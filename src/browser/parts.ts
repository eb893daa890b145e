/**
 * The parts of a page's contexts. Socket classes and the entry points `curve` and `inproc` add theirs, so a page loads
 * only what it imports.
 */
import { NotSupportedError } from "../core/errors.js";
import { ignore } from "../core/waiter.js";
import type { CurveParts } from "../engine/zmtp/mechanism/mechanism.js";
import type { EngineParts } from "../engine/zmtp/parts.js";
import type { EventLoopHold } from "../engine/zmtp/process-hold.js";

function noCurve(): never {
  throw new NotSupportedError(
    'A page has CURVE after: import { enableCurve } from "shoal/browser/curve"; enableCurve()',
  );
}

export const NO_CURVE: CurveParts = { server: noCurve, client: noCurve };

/** Sockets neither keep a page alive nor delay its end. */
const NO_HOLD: EventLoopHold = {
  ref: ignore,
  unref: ignore,
  holdBound: ignore,
  changed: ignore,
  end: ignore,
};

type Addable = "curve" | "inproc";

type PageParts = Omit<EngineParts, Addable> & { -readonly [Key in Addable]: EngineParts[Key] };

export const PAGE_PARTS: PageParts = {
  curve: NO_CURVE,
  inproc: undefined,
  eventLoop: () => NO_HOLD,
};
