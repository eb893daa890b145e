import type { ShoalError } from "../../core/errors.js";
import type { Socket } from "../../sockets/socket.js";
import { createDetails, type Details, tryDetails } from "../details.js";
import { readEndpoint } from "../endpoints.js";
import { splitAddress } from "../net/addresses.js";
import { changeTags, type TagChange } from "../tags.js";
import { Advertiser } from "./advertiser.js";
import { changeProps, type PropValue } from "./options.js";
import { checkShown, type PrivateProp } from "./private-props.js";

const LONGEST_HOST = "255.255.255.255";
const LONGEST_HOST_V6 = `[${"ffff:".repeat(7)}ffff]`;

export interface OwnDetailsEffects {
  /** Details known to other nodes; `undefined` before the start and after the end. */
  current(): Details | undefined;
  /** "host:port"; empty before the start. */
  address(): string;
  /** @throws InvalidArgumentError `EINVAL` if they are too large; nothing has changed then */
  set(tags: readonly string[], props: Readonly<Record<string, string>>, endpoints: readonly string[]): void;
  /** The node's private props do not fit with the program's. */
  dropped(): void;
  /** An endpoint of a socket, or at the node's new address, cannot be advertised. */
  refused(name: string, endpoint: string, error: ShoalError): void;
}

export class OwnDetails {
  #initial: Pick<Details, "tags" | "props">;
  readonly #ipv6: boolean;
  readonly #effects: OwnDetailsEffects;
  readonly #advertiser: Advertiser;
  readonly #private = new Map<PrivateProp, string>();

  constructor(initial: Pick<Details, "tags" | "props">, ipv6: boolean, effects: OwnDetailsEffects) {
    this.#initial = initial;
    this.#ipv6 = ipv6;
    this.#effects = effects;
    this.#advertiser = new Advertiser({
      publish: () => this.publish(),
      refused: (name, endpoint, error) => effects.refused(name, endpoint, error),
    });
  }

  first(): Pick<Details, "tags" | "props" | "endpoints"> | undefined {
    const { tags, props } = this.#initial;
    const endpoints = this.#endpoints();
    const all = { ...props, ...Object.fromEntries(this.#private) };
    const isEmpty = tags.length + endpoints.length === 0 && Object.keys(all).length === 0;
    if (isEmpty) return undefined;
    if (this.#private.size > 0 && typeof tryDetails(1, tags, all, endpoints) === "string") {
      this.#private.clear();
      this.#effects.dropped();
      return { tags, props, endpoints };
    }
    return { tags, props: all, endpoints };
  }

  /** @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  advertise(name: string, of: Socket | string): () => void {
    return this.#advertiser.add(name, of);
  }

  get stated(): Pick<Details, "tags" | "props"> {
    return this.#effects.current() ?? this.#initial;
  }

  /** May be called before the start. @throws InvalidArgumentError `EINVAL`; nothing has changed then */
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

  /** `undefined` removes the prop. @throws InvalidArgumentError `EINVAL` if it does not fit */
  setPrivate(name: PrivateProp, value: string | undefined): void {
    if (value === undefined) this.#private.delete(name);
    else this.#private.set(name, value);
    const current = this.#effects.current();
    if (current === undefined || current.props[name] === value) return;
    this.#effects.set(current.tags, changeProps(current.props, { [name]: value }), current.endpoints);
  }

  /** @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  publish(): void {
    const current = this.#effects.current();
    if (current !== undefined) this.#effects.set(current.tags, current.props, this.#endpoints());
    else createDetails(1, this.#initial.tags, this.#initial.props, this.#endpoints());
  }

  /** Wildcard hosts change with the address. If the endpoints do not fit, the old ones stay. */
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

  close(): void {
    this.#advertiser.close();
  }

  #endpoints(): string[] {
    const host = splitAddress(this.#effects.address())?.host;
    if (host === undefined) return this.#advertiser.texts(this.#ipv6 ? LONGEST_HOST_V6 : LONGEST_HOST);
    return this.#advertiser.texts(host.includes(":") ? `[${host}]` : host);
  }
}
