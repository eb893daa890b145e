/** Replaces engine/zmtp/inproc.ts; delegates to it once a socket has inproc peers. */
import { ADDITIONS } from "../../browser/additions.js";
import type { InprocPeers as RealPeers } from "./inproc.js";
import type { InprocNames } from "./inproc-names.js";
import type { Peers } from "./peers.js";
import type { Pipe } from "./pipe.js";
import type { SocketState } from "./socket-state.js";

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
