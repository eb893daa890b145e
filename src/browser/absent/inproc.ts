/** Replaces engine/zmtp/inproc.ts (rolldown.config.js); delegates to it once a socket has inproc peers. */
import type { InprocPeers as RealPeers } from "../../engine/zmtp/inproc.js";
import type { InprocNames } from "../../engine/zmtp/inproc-names.js";
import type { Peers } from "../../engine/zmtp/peers.js";
import type { Pipe } from "../../engine/zmtp/pipe.js";
import type { SocketState } from "../../engine/zmtp/socket-state.js";
import { ADDITIONS } from "../additions.js";

export class InprocPeers {
  readonly #state: SocketState;
  readonly #peers: Peers;
  #made: RealPeers | undefined;

  constructor(state: SocketState, peers: Peers) {
    this.#state = state;
    this.#peers = peers;
  }

  get #real(): RealPeers | undefined {
    if (this.#made === undefined) {
      const { real } = this.#state.names as unknown as { readonly real: InprocNames };
      const state: SocketState = Object.create(this.#state, { names: { value: real } });
      this.#made = ADDITIONS.inproc?.peers(state, this.#peers);
    }
    return this.#made;
  }

  bind(name: string): void {
    this.#real?.bind(name);
  }

  unbind(name: string): void {
    this.#real?.unbind(name);
  }

  get connected(): boolean {
    return this.#made?.connected === true;
  }

  connect(name: string, pipe: Pipe): void {
    this.#real?.connect(name, pipe);
  }

  part(name: string, goesOn: (pipe: Pipe, stop: () => void) => boolean): boolean {
    return this.#made?.part(name, goesOn) === true;
  }

  stopAll(unlessUnsent: boolean): void {
    this.#made?.stopAll(unlessUnsent);
  }
}
