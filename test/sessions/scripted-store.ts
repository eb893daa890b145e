import { MemorySessionStore } from "../../src/sessions/index.js";

type Commit = Parameters<MemorySessionStore["commit"]>;

/** A store whose commits do what a test says; `undefined`: what they are for. */
export class ScriptedStore extends MemorySessionStore {
  result: (...commit: Commit) => boolean | undefined | Promise<boolean | undefined> = () => undefined;

  override async commit(...commit: Commit): Promise<boolean> {
    return (await this.result(...commit)) ?? super.commit(...commit);
  }
}
