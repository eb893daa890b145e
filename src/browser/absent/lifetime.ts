/** A page is not held by its sockets, and its end is not waited for; stands in for engine/zmtp/lifetime.ts. */
import type { EngineEventLoop } from "../../engine/engine.js";

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
