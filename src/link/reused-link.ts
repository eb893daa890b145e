/** A link made on first use, and again after its end. */
import { describe } from "../core/arguments.js";
import { InvalidArgumentError, TransportError } from "../core/errors.js";
import { MultiplexLink } from "./link.js";

/** A link, or a function that makes one when none exists or the last has ended. */
export type LinkSource = MultiplexLink | (() => MultiplexLink | Promise<MultiplexLink>);

/** @internal Concurrent users wait for one attempt. */
export class ReusedLink {
  readonly #source: LinkSource;
  #link: Promise<MultiplexLink> | undefined = undefined;

  /** @throws InvalidArgumentError `EINVAL` */
  constructor(source: LinkSource) {
    if (!(source instanceof MultiplexLink) && typeof source !== "function")
      throw new InvalidArgumentError(
        `A tunnel must be given a link, or a function that creates one; got ${describe(source)}`,
      );
    this.#source = source;
  }

  /** @throws TransportError `ERR_TRANSPORT` for an ended link without replacement; the function's errors */
  async get(): Promise<MultiplexLink> {
    const source = this.#source;
    if (source instanceof MultiplexLink) return assertUsable(source);
    const last = this.#link;
    // Its error went to its callers.
    const link = await last?.catch(() => undefined);
    if (link !== undefined && isUsable(link)) return link;
    // The first of several waiting callers makes another link.
    if (this.#link === last) this.#link = make(source);
    return this.#link as Promise<MultiplexLink>;
  }
}

async function make(source: Exclude<LinkSource, MultiplexLink>): Promise<MultiplexLink> {
  const link: unknown = await source();
  if (!(link instanceof MultiplexLink))
    throw new InvalidArgumentError(`A tunnel's function must return a link; got ${describe(link)}`);
  return assertUsable(link);
}

function isUsable(link: MultiplexLink): boolean {
  return !link.ended && !link.closed;
}

function assertUsable(link: MultiplexLink): MultiplexLink {
  if (!isUsable(link)) throw new TransportError("ERR_TRANSPORT", "The tunnel's link has ended");
  return link;
}
