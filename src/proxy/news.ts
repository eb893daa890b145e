/**
 * What a proxy tells of its sides. What may come in floods is told once for each burst, with how many there are in all
 * (bursts.ts).
 */
import { systemClock } from "../core/clock.js";
import { EventStream } from "../core/event-stream.js";
import { CORE } from "../sockets/socket.js";
import { Bursts } from "./bursts.js";
import type { ProxyEvent } from "./events.js";
import type { Place, WayBack } from "./neighbours.js";
import type { Opened } from "./opened.js";
import type { ProxySideName } from "./pairs.js";
import type { PolicyHost } from "./policy/side-policy.js";
import type { WaysHost } from "./ways.js";

export class News {
  readonly events: EventStream<ProxyEvent> = new EventStream();
  readonly #bursts = new Map<string, Bursts>();

  /** Tells what happens at a side's socket. */
  watch(side: ProxySideName, { socket }: Opened): void {
    socket[CORE].events.listen((event) => {
      const { type } = event;
      if (type === "drop") {
        const { reason } = event;
        if (reason === "detached") return; // What passes is the engine's memory: nobody can transfer it.
        this.#inBurst(`${side} ${reason}`, event.messages, (messages) => {
          this.events.emit({ type, side, reason, messages });
        });
      } else if (type === "peer:join") this.events.emit({ type, side, address: event.address });
      else if (type === "peer:leave")
        this.events.emit({ type, side, address: event.address, reason: event.reason });
      else if (type === "peer:refused")
        this.events.emit({ type, side, address: event.address, error: event.error });
    });
  }

  /** What a side's policy does. */
  ofPolicy(side: ProxySideName): PolicyHost {
    return {
      policyOnRefused: (reason, count, { address, publicKey }) =>
        this.#inBurst(`${side} policy ${reason}`, count, (refused) =>
          this.events.emit({
            type: "policy",
            side,
            reason,
            refused,
            ...(address === undefined ? {} : { address }),
            ...(publicKey === undefined ? {} : { publicKey }),
          }),
        ),
      policyOnKeys: ({ keys, problems }, revoked) =>
        this.events.emit({ type: "keys", side, keys: keys.size, revoked, problems }),
    };
  }

  /** What does not pass on the ways between the sides. */
  readonly ofWays: Pick<WaysHost, "refused" | "failed"> = {
    refused: (side, verdict) =>
      this.#inBurst(`${side} ${verdict}`, 1, (total) => {
        if (verdict === "loop") this.events.emit({ type: "loop", side, by: "request", loops: total });
        else this.events.emit({ type: "malformed", side, messages: total });
      }),
    failed: (error) => this.#inBurst("error", 1, () => this.events.emit({ type: "error", error })),
  };

  /** Messages come back by a peer of this proxy. */
  loop(side: Place, by: WayBack): void {
    this.#inBurst(`${side} ${by}`, 1, (loops) => this.events.emit({ type: "loop", side, by, loops }));
  }

  #inBurst(name: string, count: number, tell: (total: number) => void): void {
    let bursts = this.#bursts.get(name);
    if (bursts === undefined) {
      bursts = new Bursts();
      this.#bursts.set(name, bursts);
    }
    if (bursts.note(systemClock.now(), count)) tell(bursts.total);
  }
}
