/** Where the requests of a store go, with a broker that the test plays. */
import { expect, it } from "vitest";
import { ClosedError } from "../../../src/core/errors.js";
import { checkOptions } from "../../../src/kit/options.js";
import type { MajordomoClient } from "../../../src/patterns/majordomo/client.js";
import { OPTIONS, type TitanicOptions } from "../../../src/patterns/titanic/dispatch-rules.js";
import { Dispatcher } from "../../../src/patterns/titanic/dispatcher.js";
import { until } from "../../contract/support/wait.js";
import { GatedStore } from "./gated-store.js";

const request = (first: number, service: string) => ({
  uuid: Buffer.alloc(16, first),
  service: Buffer.from(service),
  body: [Buffer.from("x")],
  expires: Number.MAX_SAFE_INTEGER,
});

type Joined = (event: { readonly extended: boolean }) => void;

/** A dispatcher whose calls nobody answers. @param workers services that are there; all, if missing */
function dispatched(store: GatedStore, options: TitanicOptions, workers?: readonly string[]) {
  let joined: Joined = () => undefined;
  const asked: string[] = [];
  const calls: ((error: Error) => void)[] = [];
  const client = {
    events: { on: (_: string, listener: Joined) => (joined = listener) },
    // mmi.service
    request: async (_: string, [name]: readonly Buffer[]) => [
      Buffer.from(workers?.includes(String(name)) === false ? "404" : "200"),
    ],
    requestAs: (
      service: string,
      _: unknown,
      __: unknown,
      { started }: { started: (end: unknown) => void },
    ) => {
      asked.push(service);
      return new Promise((_, reject) => {
        calls.push(reject);
        started(reject);
      });
    },
  } as unknown as MajordomoClient;
  const settings = checkOptions("Titanic", OPTIONS, options);
  const dispatcher = new Dispatcher(store, client, settings, () => undefined);
  const stop = async (): Promise<void> => {
    const stopped = dispatcher.stop();
    for (const end of calls) end(new ClosedError("EAGAIN", "closed"));
    await stopped;
  };
  return { dispatcher, asked, joined, stop };
}

it("services past `maxServices` come in their turn while those before them are away", async () => {
  const store = new GatedStore();
  const services = ["a", "b", "c", "d", "e"];
  for (const [i, service] of services.entries()) await store.put(request(i, service));
  const { asked, stop } = dispatched(store, { maxServices: 2, scanInterval: 1 }, ["e"]);
  await until(() => asked.includes("e"), "the last one is found");
  await stop();
});

it.each([
  [true, 3],
  [false, 1],
])("a broker of shoal (%s) gets %i requests at a time", async (extended, most) => {
  const store = new GatedStore();
  for (const [i, service] of ["stuck", "stuck", "echo"].entries()) await store.put(request(i, service));
  const { dispatcher, asked, joined, stop } = dispatched(store, {});
  joined({ extended });
  for (const service of ["stuck", "echo"]) dispatcher.stored(Buffer.from(service));
  await until(() => dispatcher.stats().inFlight === most, "requests are in flight");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(asked.length).toBe(most);
  await stop();
});
