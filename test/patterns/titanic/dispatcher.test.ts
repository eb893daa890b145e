/** Where the requests of a store go, with a broker that the test plays. */
import { expect, it } from "vitest";
import { checkOptions } from "../../../src/kit/options.js";
import type { MajordomoClient } from "../../../src/patterns/majordomo/client.js";
import { OPTIONS } from "../../../src/patterns/titanic/dispatch-rules.js";
import { Dispatcher } from "../../../src/patterns/titanic/dispatcher.js";
import { until } from "../../contract/support/wait.js";
import { GatedStore } from "./gated-store.js";

const request = (first: number, service: string) => ({
  uuid: Buffer.alloc(16, first),
  service: Buffer.from(service),
  body: [Buffer.from("x")],
  expires: Number.MAX_SAFE_INTEGER,
});

it.each([
  [true, 3],
  [false, 1],
])("a broker of shoal (%s) gets %i requests at a time", async (extended, most) => {
  const store = new GatedStore();
  for (const [i, service] of ["stuck", "stuck", "echo"].entries()) await store.put(request(i, service));
  let joined: (event: { readonly extended: boolean }) => void = () => undefined;
  const asked: string[] = [];
  const client = {
    events: { on: (_: string, listener: typeof joined) => (joined = listener) },
    request: () => Promise.resolve([Buffer.from("200")]), // mmi.service
    requestAs: (
      service: string,
      _: unknown,
      __: unknown,
      { started }: { started: (end: unknown) => void },
    ) => {
      asked.push(service);
      return new Promise((_, reject) => started(reject));
    },
  } as unknown as MajordomoClient;
  const dispatcher = new Dispatcher(store, client, checkOptions("Titanic", OPTIONS, {}), () => undefined);
  joined({ extended });
  for (const service of ["stuck", "echo"]) dispatcher.stored(Buffer.from(service));
  await until(() => dispatcher.stats().inFlight === most, "requests are in flight");
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(asked.length).toBe(most);
  const stopped = dispatcher.stop();
  dispatcher.abort();
  await stopped;
});
