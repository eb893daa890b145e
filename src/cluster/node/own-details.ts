/** What a node states of itself: tags, props, and the endpoints that its program advertises. */
import { invalidArgument } from "../../core/arguments.js";
import { InvalidArgumentError, type ShoalError } from "../../core/errors.js";
import { CORE, Socket } from "../../sockets/socket.js";
import {
  changeTags,
  checkAdvertised,
  checkServiceName,
  createDetails,
  type Details,
  endpointText,
  published,
  readEndpoint,
  type TagChange,
} from "../details.js";
import { MESSAGES_PROP } from "../messaging/wire.js";
import { splitAddress } from "../net/addresses.js";
import { changeProps, checkShown, type PropValue } from "./options.js";

export interface OwnDetailsEffects {
  /** "host:port"; empty before the start. */
  address(): string;
  /** Called from `begin` on. */
  set(tags: readonly string[], props: Readonly<Record<string, string>>, endpoints: readonly string[]): void;
  /** Its advert of messages does not fit with the program's props: other nodes cannot send messages to it. */
  dropped(): void;
  /** An endpoint of a socket, or at the node's new address, cannot be advertised. */
  refused(name: string, endpoint: string, error: ShoalError): void;
}

/** An endpoint of the program, or those of a socket while it is bound to them. */
interface Advert {
  readonly name: string;
  endpoints: readonly string[];
  stop: () => void;
}

export class OwnDetails {
  /** Until `begin`, what is stated then. */
  #stated: Details;
  #isBegun = false;
  readonly #ipv6: boolean;
  readonly #effects: OwnDetailsEffects;
  readonly #adverts = new Set<Advert>();

  constructor(initial: Pick<Details, "tags" | "props">, ipv6: boolean, effects: OwnDetailsEffects) {
    this.#stated = createDetails(1, initial.tags, initial.props, []);
    this.#ipv6 = ipv6;
    this.#effects = effects;
  }

  /** States what was set before the start. */
  begin(): void {
    this.#isBegun = true;
    const { tags, props } = this.#stated;
    const endpoints = this.#endpoints();
    if (tags.length + endpoints.length + Object.keys(props).length > 0) this.#state(tags, props, endpoints);
  }

  /** @returns withdraws them @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  advertise(name: string, of: Socket | string): () => void {
    checkServiceName(name);
    if (typeof of !== "string" && !(of instanceof Socket))
      throw invalidArgument("advertise takes an endpoint or a socket", of);
    if (typeof of === "string") checkAdvertised(of);
    const advert: Advert = { name, endpoints: typeof of === "string" ? [of] : [], stop: () => undefined };
    this.#adverts.add(advert);
    let isFirst = true;
    try {
      if (typeof of === "string") this.publish();
      else
        advert.stop = of[CORE].endpoints.watchBound((bound) => {
          if (!this.#adverts.has(advert)) return;
          // The caller gets errors of existing endpoints; later ones are reported.
          if (isFirst) this.#set(advert, reachable(bound));
          else this.#update(advert, reachable(bound));
          isFirst = false;
          if (of.closed) this.#adverts.delete(advert);
        });
    } catch (error) {
      this.#adverts.delete(advert);
      throw error;
    }
    return () => {
      advert.stop();
      if (this.#adverts.delete(advert) && advert.endpoints.length > 0) this.publish();
    };
  }

  /** @param call for errors @returns withdraw each @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  advertiseAll(
    call: string,
    endpoints: Readonly<Record<string, string | readonly string[]>>,
  ): readonly (() => void)[] {
    if (typeof endpoints !== "object" || endpoints === null || Array.isArray(endpoints))
      throw invalidArgument(`${call} takes endpoints by name`, endpoints);
    const adverts: (() => void)[] = [];
    try {
      for (const [name, of] of Object.entries(endpoints)) {
        const all = [of].flat();
        if (all.length === 0) throw new InvalidArgumentError(`${call}: no endpoint for ${name}`);
        for (const endpoint of all) adverts.push(this.advertise(name, endpoint));
      }
    } catch (error) {
      for (const withdraw of adverts) withdraw();
      throw error;
    }
    return adverts;
  }

  #set(advert: Advert, endpoints: readonly string[]): void {
    const before = advert.endpoints;
    if (before.join("\n") === endpoints.join("\n")) return;
    advert.endpoints = endpoints;
    try {
      this.publish();
    } catch (error) {
      advert.endpoints = before;
      throw error;
    }
  }

  /** An endpoint too many leaves the existing ones. */
  #update(advert: Advert, bound: readonly string[]): void {
    const kept = advert.endpoints.filter((endpoint) => bound.includes(endpoint));
    this.#set(advert, kept);
    for (const endpoint of bound) {
      if (kept.includes(endpoint)) continue;
      try {
        this.#set(advert, [...advert.endpoints, endpoint]);
      } catch (error) {
        this.#effects.refused(advert.name, endpoint, error as ShoalError);
      }
    }
  }

  get stated(): Details {
    return this.#stated;
  }

  /** May be called before the start. @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  change(
    tagChanges: readonly TagChange[],
    propChanges: Readonly<Record<string, PropValue | undefined>>,
  ): void {
    const { tags, props, endpoints } = this.#stated;
    const nextTags = changeTags(tags, tagChanges);
    const nextProps = changeProps(props, propChanges);
    checkShown(propChanges);
    this.#state(nextTags, nextProps, endpoints);
  }

  /** @param advert where the node takes messages; `undefined`: it takes none */
  setAdvert(advert: string | undefined): void {
    const { tags, props } = this.#stated;
    if (props[MESSAGES_PROP] === advert) return;
    try {
      this.#state(tags, changeProps(props, { [MESSAGES_PROP]: advert }), this.#endpoints());
    } catch {
      this.#effects.dropped();
    }
  }

  /** @throws InvalidArgumentError `EINVAL`; nothing has changed then */
  publish(): void {
    this.#state(this.#stated.tags, this.#stated.props, this.#endpoints());
  }

  #state(tags: readonly string[], props: Details["props"], endpoints: readonly string[]): void {
    const stated = createDetails(1, tags, props, endpoints);
    // First: listeners, which may state more, are called within.
    this.#stated = stated;
    if (this.#isBegun) this.#effects.set(stated.tags, stated.props, stated.endpoints);
  }

  /** Wildcard hosts change with the address. If the endpoints do not fit, the old ones stay. */
  onAddress(): void {
    const before = this.#stated.endpoints;
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
    for (const { stop } of this.#adverts) stop();
    this.#adverts.clear();
  }

  #endpoints(): string[] {
    const longest = this.#ipv6 ? `${"ffff:".repeat(7)}ffff` : "255.255.255.255";
    const own = splitAddress(this.#effects.address())?.host ?? longest;
    const host = own.includes(":") ? `[${own}]` : own;
    const texts = [...this.#adverts].flatMap(({ name, endpoints }) =>
      endpoints.map((endpoint) => endpointText({ name, endpoint: published(endpoint, host) })),
    );
    return [...new Set(texts)];
  }
}

function reachable(bound: readonly string[]): string[] {
  return bound.filter((endpoint) => /^(?:tcp|tls|ipc):/.test(endpoint));
}
