/**
 * Names of all pages and workers of a channel. A page cannot stand still for answers, so a name that two have bound is bound
 * by both: who connects gets to one of them. The build puts it in the place of engine/zmtp/threads/thread-names.ts
 * (rolldown.config.js).
 */
import { ThreadNames as RealNames } from "../../engine/zmtp/threads/thread-names.js";

export class ThreadNames extends RealNames {
  override isTaken(): boolean {
    return false;
  }
}
