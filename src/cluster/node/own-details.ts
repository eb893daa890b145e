/** What a node states of itself on a bus: its tags, its props, and the endpoints that it advertises. */
import type { ShoalError } from "../../core/errors.js";
import type { Socket } from "../../sockets/socket.js";
import { createDetails, type Details, tryDetails } from "../details.js";
import { readEndpoint } from "../endpoints.js";
import { splitAddress } from "../net/addresses.js";
import { changeTags, type TagChange } from "../tags.js";
import { Advertiser } from "./advertiser.js";
import { changeProps, type PropValue } from "./options.js";
import { checkShown, type PrivateProp } from "./private-props.js";

/** As long as a node's host may be; assumed before it is known. */
const LONGEST_HOST = "255.255.255.255";
const LONGEST_HOST_V6 = `[${"ffff:".repeat(7)}ffff]`;

export interface OwnDetailsEffects {
  /** Those that the others have; `undefined` before the start and after the end. */
  current(): Details | undefined;
  /** Of this node, "host:port"; empty before the start. */
  address(): string;
  /** @throws InvalidArgumentError `EINVAL` where it is too much; nothing has changed then */
  set(tags: readonly string[], props: Readonly<Record<string, string>>, endpoints: readonly string[]): void;
  /** The node's own props do not fit next to the program's. */
  dropped(): void;
  /** An endpoint, of a socket or at the node's new address, cannot be advertised. */
  refused(name: string, endpoint: string, error: ShoalError): void;
}

export class OwnDetails {
  /** What the program stated before the start. */
  #initial: Pick<Details, "tags" | "props">;
  readonly #ipv6: boolean;
  readonly #effects: OwnDetailsEffects;
  readonly #advertiser: Advertiser;
  /** Props that the node has for itself. */
  readonly #private = new Map<PrivateProp, string>();

  /** @param ipv6 whether the node's address may be one of IPv6 */
  constructor(initial: Pick<Details, "tags" | "props">, ipv6: boolean, effects: OwnDetailsEffects) {
    this.#initial = initial;
    this.#ipv6 = ipv6;
    this.#effects = effects;
    this.#advertiser = new Advertiser({
      publish: () => this.publish(),
      refused: (name, endpoint, error) => effects.refused(name, endpoint, error),
    });
  }

  /** The first ones; `undefined` where there are none. */
  first(): Pick<Details, "tags" | "props" | "endpoints"> | undefined {
    const { tags, props } = this.#initial;
    const endpoints = this.#endpoints();
    const all = { ...props, ...Object.fromEntries(this.#private) };
    const isEmpty = tags.length + endpoints.length === 0 && Object.keys(all).length === 0;
    if (isEmpty) return undefined;
    // What the program gave is checked, and comes first.
    if (this.#private.size > 0 && typeof tryDetails(1, tags, all, endpoints) === "string") {
      this.#private.clear();
      this.#effects.dropped();
      return { tags, props, endpoints };
    }
    return { tags, props: all, endpoints };
  }

  /** @returns withdraws it @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  advertise(name: string, of: Socket | string): () => void {
    return this.#advertiser.add(name, of);
  }

  /** The tags and props that the others have, and before the start those that they will have. */
  get stated(): Pick<Details, "tags" | "props"> {
    return this.#effects.current() ?? this.#initial;
  }

  /** Before the start, what comes of it is kept until then. @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  change(
    tagChanges: readonly TagChange[],
    propChanges: Readonly<Record<string, PropValue | undefined>>,
  ): void {
    const current = this.#effects.current();
    const { tags, props } = current ?? this.#initial;
    const nextTags = changeTags(tags, tagChanges);
    const nextProps = changeProps(props, propChanges);
    checkShown(propChanges);
    if (current !== undefined) this.#effects.set(nextTags, nextProps, current.endpoints);
    else {
      const checked = createDetails(1, nextTags, nextProps, this.#endpoints());
      this.#initial = { tags: checked.tags, props: checked.props };
    }
  }

  /**
   * A prop that the node has for itself; `undefined` removes it.
   *
   * @throws InvalidArgumentError `EINVAL` where it is too much
   */
  setPrivate(name: PrivateProp, value: string | undefined): void {
    if (value === undefined) this.#private.delete(name);
    else this.#private.set(name, value);
    const current = this.#effects.current();
    if (current === undefined || current.props[name] === value) return;
    this.#effects.set(current.tags, changeProps(current.props, { [name]: value }), current.endpoints);
  }

  /** What is advertised may be other endpoints. @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  publish(): void {
    const current = this.#effects.current();
    if (current !== undefined) this.#effects.set(current.tags, current.props, this.#endpoints());
    else createDetails(1, this.#initial.tags, this.#initial.props, this.#endpoints());
  }

  /** The node has another address: wildcard hosts follow it. Where that is too much, the endpoints stay, and are reported. */
  onAddress(): void {
    const before = this.#effects.current()?.endpoints;
    if (before === undefined) return;
    const changed = this.#endpoints().filter((text) => !before.includes(text));
    if (changed.length === 0) return;
    try {
      this.publish();
    } catch (error) {
      for (const { name, endpoint } of changed.map(readEndpoint))
        this.#effects.refused(name, endpoint, error as ShoalError);
    }
  }

  /** Sockets are watched no more. */
  close(): void {
    this.#advertiser.close();
  }

  #endpoints(): string[] {
    const host = splitAddress(this.#effects.address())?.host;
    if (host === undefined) return this.#advertiser.texts(this.#ipv6 ? LONGEST_HOST_V6 : LONGEST_HOST);
    return this.#advertiser.texts(host.includes(":") ? `[${host}]` : host);
  }
}
