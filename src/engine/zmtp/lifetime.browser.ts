/** Replaces engine/zmtp/lifetime.ts: sockets neither keep a page alive nor delay its end. */
import type { EngineEventLoop } from "../engine.js";

export class EventLoopRef implements EngineEventLoop {
  ref(): void {}
  unref(): void {}
  holdBound(): void {}
  changed(): void {}
  end(): void {}
}

export class ProcessEnd {
  forget(): void {}
}
