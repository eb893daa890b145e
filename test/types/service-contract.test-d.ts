/** What a contract makes of its schemas: requests and replies at both ends, whichever library the schemas are of. */
import * as v from "valibot";
import { expectTypeOf } from "vitest";
import { z } from "zod";
import {
  defineService,
  type MajordomoCallOptions,
  type MajordomoClient,
  type MajordomoHandlers,
  type MajordomoRequestContext,
  type MajordomoService,
  MajordomoWorker,
  type ServiceClient,
  type ServiceMethods,
} from "../../src/patterns/index.js";

const billing = defineService({
  name: "billing",
  methods: {
    add: { request: z.object({ amount: z.number() }), reply: v.object({ total: v.number() }) },
    due: { request: z.string(), reply: z.iso.datetime().transform((text) => new Date(text)) },
    parse: { request: z.string().transform(Number), reply: z.number() },
    ping: { request: z.void(), reply: z.void() },
    page: { request: z.object({ from: z.number() }).optional(), reply: z.string() },
    history: { request: z.number(), stream: z.iso.date().transform((text) => new Date(text)) },
  },
});

declare const client: MajordomoClient;
const service = client.service(billing);
expectTypeOf(service).toEqualTypeOf<MajordomoService<typeof billing>>();
expectTypeOf(service.add).parameters.toEqualTypeOf<
  [request: { amount: number }, options?: MajordomoCallOptions]
>();
expectTypeOf(service.add).returns.toEqualTypeOf<Promise<{ total: number }>>();
// What a schema transforms is its input at the sender, and its output at the receiver.
expectTypeOf(service.due).returns.toEqualTypeOf<Promise<Date>>();
expectTypeOf(service.parse).parameter(0).toEqualTypeOf<string>();
expectTypeOf(service.history).returns.toEqualTypeOf<AsyncIterableIterator<Date, undefined>>();
service.ping();
service.ping(undefined, { timeout: 5 });
service.page();
service.page({ from: 5 });
// @ts-expect-error: the request is missing
service.add();
// @ts-expect-error: a request of another type
service.add({ amount: "5" });
// @ts-expect-error: no such method
service.remove({ amount: 5 });
// @ts-expect-error: no such option
service.add({ amount: 5 }, { tiemout: 5 });

type Handlers = MajordomoHandlers<typeof billing>;
expectTypeOf<Handlers["parse"]>().parameters.toEqualTypeOf<
  [request: number, context: MajordomoRequestContext]
>();
expectTypeOf<Handlers["due"]>().returns.toEqualTypeOf<string | Promise<string>>();
expectTypeOf<Handlers["history"]>().returns.toEqualTypeOf<AsyncIterable<string>>();
expectTypeOf<Handlers["ping"]>().returns.toEqualTypeOf<void | Promise<void>>();

const handlers: Handlers = {
  add: ({ amount }) => ({ total: amount }),
  due: async () => "2026-01-02T03:04:05Z",
  parse: (number) => number,
  ping: () => undefined,
  page: async (request) => String(request?.from ?? 0),
  async *history() {
    yield "2026-01-02";
  },
};
expectTypeOf(MajordomoWorker.serve("tcp://host:1", billing, handlers)).toEqualTypeOf<MajordomoWorker>();
MajordomoWorker.serve("tcp://host:1", billing, {
  ...handlers,
  add: ({ amount }, context) => {
    expectTypeOf(amount).toEqualTypeOf<number>();
    expectTypeOf(context).toEqualTypeOf<MajordomoRequestContext>();
    return { total: amount };
  },
});
// @ts-expect-error: a reply of another type
MajordomoWorker.serve("tcp://host:1", billing, { ...handlers, add: () => ({ total: "5" }) });
// @ts-expect-error: a method without a handler
MajordomoWorker.serve("tcp://host:1", billing, { add: handlers.add });
// @ts-expect-error: the contract has the codec
MajordomoWorker.serve("tcp://host:1", billing, handlers, { requestCodec: undefined });

// Another pattern has options of its own.
type Own = ServiceClient<typeof billing, { readonly priority?: number }>;
expectTypeOf<Own["parse"]>().parameter(1).toEqualTypeOf<{ readonly priority?: number } | undefined>();

// @ts-expect-error: neither reply nor stream
const neither: ServiceMethods = { ask: { request: z.string() } };
// @ts-expect-error: both reply and stream
const both: ServiceMethods = { ask: { request: z.string(), reply: z.string(), stream: z.string() } };
defineService({ name: "s", methods: { ...neither, ...both } });
