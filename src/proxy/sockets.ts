/**
 * The sockets of one proxy: made from their plans, found and finding, counted, and closed.
 *
 *   open --bind--> listening --connect--> in use --close--> gone
 */
import { randomId } from "../core/random.js";
import type { Context } from "../sockets/context.js";
import { Capture } from "./capture.js";
import { Control, type ControlHost } from "./control.js";
import type { ProxyListening } from "./events.js";
import type { ProxySocketName } from "./live-endpoints.js";
import { refuseOwn } from "./local-addresses.js";
import { Neighbours, PROXY_PROPERTY } from "./neighbours.js";
import type { News } from "./news.js";
import { Opened } from "./opened.js";
import type { SocketPlan } from "./options.js";
import type { Direction, ProxySideName } from "./pairs.js";
import type { ProxyStats } from "./stats.js";

export class ProxySockets {
  /** By their names; empty before they are opened. */
  readonly all = new Map<ProxySocketName, Opened>();
  readonly #plans: readonly SocketPlan[];
  readonly #context: Context;
  readonly #news: News;
  #capture: Capture | undefined;
  #control: Control | undefined;
  #neighbours: Neighbours | undefined;

  /** Opens nothing yet. */
  constructor(plans: readonly SocketPlan[], context: Context, news: News) {
    this.#plans = plans;
    this.#context = context;
    this.#news = news;
  }

  /**
   * Makes all of them, and tells their peers from the first one on who this is.
   *
   * @throws as a socket's constructor does
   */
  open(directions: readonly Direction[], host: ControlHost): void {
    for (const plan of this.#plans) this.all.set(plan.name, this.#openSocket(plan, host));
    const id = randomId();
    const neighbours = new Neighbours(id, directions);
    this.#neighbours = neighbours;
    for (const place of ["frontend", "backend", "capture"] as const) {
      this.all.get(place)?.announce(PROXY_PROPERTY, id, (other, joined) => {
        const by = neighbours.heard(place, other, joined);
        if (by !== undefined) this.#news.loop(place, by);
      });
    }
  }

  /** Binds one after the other, as long as `goesOn`. @throws as a socket's `bind`; InvalidArgumentError for a way to itself */
  async bind(goesOn: () => boolean): Promise<void> {
    for (const opened of this.all.values()) {
      await opened.bind();
      if (!goesOn()) return;
    }
    await refuseOwn([...this.all.values()].map(({ plan, bound }) => ({ ...plan, bound })));
  }

  /** @throws as a socket's `connect` does */
  connect(): void {
    for (const opened of this.all.values()) opened.connect();
  }

  /** Once it is opened. */
  side(name: ProxySideName): Opened {
    return this.all.get(name) as Opened;
  }

  /** Copies of what passes go there. Absent: nowhere. */
  get take(): Capture["take"] | undefined {
    return this.#capture?.take;
  }

  /** Takes commands until its socket closes. */
  async steer(): Promise<void> {
    await this.#control?.run();
  }

  /** Where they listen, wildcards filled in. */
  get endpoints(): ProxyListening {
    const bound = (name: ProxySocketName): readonly string[] => [...(this.all.get(name)?.bound ?? [])];
    return {
      frontend: bound("frontend"),
      backend: bound("backend"),
      capture: bound("capture"),
      control: bound("control"),
    };
  }

  /** The part of the accounts that is of no side. */
  stats(): Pick<ProxyStats, "loops" | "capture" | "control"> {
    return {
      loops: this.#neighbours?.leadBack ?? 0,
      ...(this.#capture === undefined ? {} : { capture: this.#capture.stats() }),
      ...(this.#control === undefined ? {} : { control: this.#control.stats() }),
    };
  }

  /** @param linger ms; `undefined`: each socket's own */
  async close(linger: number | undefined): Promise<void> {
    const options = linger === undefined ? {} : { linger };
    await Promise.all([...this.all.values()].map(({ socket }) => socket.close(options)));
  }

  #openSocket(plan: SocketPlan, host: ControlHost): Opened {
    switch (plan.name) {
      case "capture":
        this.#capture = new Capture(plan, this.#context, (missed) =>
          this.#news.events.emit({ type: "capture:drop", missed }),
        );
        return this.#capture.opened;
      case "control":
        this.#control = new Control(plan, this.#context, host);
        return this.#control.opened;
      default: {
        const opened = new Opened(plan, this.#context);
        this.#news.watch(plan.name, opened);
        return opened;
      }
    }
  }
}
