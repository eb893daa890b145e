/**
 * One socket's peers in the same process: those it connects to by an inproc name,
 * and those that come to the names it is bound to. No stream and no handshake: both
 * ends are linked within the call.
 */
import type { SocketTypeName } from "../../core/socket-type.js";
import type { Departures } from "./departures.js";
import { faultEvents } from "./errors.js";
import { InprocLink } from "./inproc.js";
import type { InprocNames, InprocTarget } from "./inproc-names.js";
import type { LinksHost } from "./links.js";
import { identityOf, pipeOptions } from "./options.js";
import type { Peer, Pipe, PipeOptions } from "./pipe.js";
import type { Pipes } from "./pipes.js";
import { WIRE_NAMES } from "./routing/routing.js";

/** A name that a socket connects to. */
export interface InprocDial {
  readonly name: string;
  readonly from: InprocPeers;
  readonly pipe: Pipe;
  stopped: boolean;
}

export class InprocPeers implements InprocTarget<InprocDial> {
  readonly #names: InprocNames<InprocDial>;
  readonly #type: SocketTypeName;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #pipes: Pipes;
  readonly #departures: Departures;
  readonly #host: LinksHost;
  readonly #dials = new Set<InprocDial>();
  /** Those of them that had no place, there or here: they wait for one. */
  readonly #refused = new Set<InprocDial>();

  constructor(
    names: InprocNames,
    type: SocketTypeName,
    options: Readonly<Record<string, unknown>>,
    pipes: Pipes,
    departures: Departures,
    host: LinksHost,
  ) {
    this.#names = names as InprocNames<InprocDial>;
    this.#type = type;
    this.#options = options;
    this.#pipes = pipes;
    this.#departures = departures;
    this.#host = host;
    pipes.onPlace = () => this.#again();
  }

  connect(name: string, pipe: Pipe): void {
    const dial: InprocDial = { name, from: this, pipe, stopped: false };
    this.#dials.add(dial);
    this.#host.event({ type: "connect", address: name });
    if (!dial.stopped) this.#names.connect(name, dial);
  }

  /** @returns whether there was anything to disconnect */
  disconnect(name: string): boolean {
    let found = false;
    for (const dial of [...this.#dials]) {
      const { pipe } = dial;
      if (dial.name !== name || pipe.leaving !== undefined) continue;
      found = true;
      // What is linked has nothing to wait for: the peer gets at once what it has not got yet.
      if (pipe.link === undefined && this.#departures.begin(pipe, () => this.#stop(dial))) continue;
      this.#stop(dial);
      this.#pipes.end(pipe, "local");
    }
    return found;
  }

  /** Waits for no name any more. @param unlessUnsent but for those that messages wait for */
  stopAll(unlessUnsent: boolean): void {
    for (const dial of [...this.#dials]) {
      if (unlessUnsent && dial.pipe.link === undefined && dial.pipe.out.messages > 0) continue;
      this.#stop(dial);
    }
  }

  inprocOnPeer(dial: InprocDial): void {
    const theirs = dial.from;
    const [theirPeer, ourPeer] = [theirs.#asPeer(this), this.#asPeer(theirs)];
    const fault = this.#pipes.refuse(theirPeer, undefined) ?? theirs.#pipes.refuse(ourPeer, dial.pipe);
    if (fault !== undefined) {
      theirs.#refused.add(dial);
      this.#names.wait(dial.name, dial);
      for (const side of [this, theirs])
        for (const event of faultEvents(fault, dial.name, dial.name, "NULL")) side.#host.event(event);
      return;
    }
    const pipe = this.#pipes.make(dial.name, false);
    const far = new InprocLink(dial.pipe, theirs.#marks, (reason) => {
      theirs.#pipes.left(dial.pipe, reason === "remote" ? "remote" : "local");
      if (!dial.stopped) theirs.#names.connect(dial.name, dial);
      theirs.#host.changed();
    });
    const near = new InprocLink(pipe, this.#marks, (reason) => {
      this.#pipes.left(pipe, reason === "remote" ? "remote" : "local");
      this.#host.changed();
    });
    InprocLink.join(far, theirPeer, near, ourPeer);
    this.#host.event({ type: "accept", address: dial.name });
    this.#pipes.add(pipe);
    this.#pipes.joined(pipe);
    theirs.#pipes.joined(dial.pipe);
    InprocLink.open(near, far);
    if (dial.pipe.leaving !== undefined) theirs.#stop(dial);
    if (theirs.#pipes.closing || dial.pipe.leaving !== undefined)
      setImmediate(() => dial.pipe.link?.close("local"));
  }

  /** Somebody has left: whoever was refused, by this socket or on its own side, is tried again. */
  #again(): void {
    this.#names.admit(this);
    for (const dial of [...this.#refused]) {
      this.#refused.delete(dial);
      if (dial.pipe.link === undefined) this.#names.again(dial.name, dial);
    }
  }

  get #marks(): PipeOptions {
    return pipeOptions(this.#options, this.#type);
  }

  #asPeer(of: InprocPeers): Peer {
    const [own, theirs] = [this.#pipes.announcement, of.#pipes.announcement];
    return {
      socketType: WIRE_NAMES[this.#type],
      identity: identityOf(this.#options),
      commands: true,
      announced: own?.name === theirs?.name ? own?.value : undefined,
    };
  }

  #stop(dial: InprocDial): void {
    dial.stopped = true;
    this.#dials.delete(dial);
    this.#refused.delete(dial);
    this.#names.disconnect(dial.name, dial);
  }
}
