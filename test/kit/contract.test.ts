/** A service's contract: what it takes, what goes over the wire, and what each end refuses. No sockets. */
import * as v from "valibot";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import {
  contractHandler,
  defineService,
  type ServiceHandlers,
  serviceClient,
} from "../../src/kit/contract.js";
import { isRefusal } from "../../src/kit/errors.js";
import { type Codec, json, msgpack, text } from "../../src/sockets/codec.js";
import { failure } from "../contract/support/wait.js";

const billing = defineService({
  name: "billing",
  methods: {
    add: { request: z.object({ amount: z.number() }), reply: z.object({ total: z.number() }) },
    due: {
      request: z.object({ customer: z.string() }),
      reply: z.iso.datetime().transform((text) => new Date(text)),
    },
    reset: { request: z.void(), reply: z.void() },
    history: { request: v.object({ last: v.number() }), stream: v.object({ amount: v.number() }) },
  },
});

const handlers: ServiceHandlers<typeof billing> = {
  add: ({ amount }) => ({ total: amount }),
  due: async () => "2026-01-02T03:04:05Z",
  reset: () => undefined,
  async *history({ last }) {
    for (let amount = 1; amount <= last; amount++) yield { amount };
  },
};

type Frames = readonly (Uint8Array | string)[];
const toBuffers = (frames: Frames): Buffer[] => frames.map((frame) => Buffer.from(frame as string));

/** A client whose calls go straight to the handler. */
function connect<C extends Parameters<typeof serviceClient>[0]>(
  contract: C,
  handle: ReturnType<typeof contractHandler>,
) {
  const sent: Frames[] = [];
  const client = serviceClient<C, { readonly timeout?: number }>(contract, {
    async request(frames, decode) {
      sent.push(frames);
      return decode(toBuffers([(await handle(toBuffers(frames), {})) as string]));
    },
    async *stream(frames, decode) {
      sent.push(frames);
      const pieces = (await handle(toBuffers(frames), {})) as unknown as AsyncIterable<string>;
      for await (const piece of pieces) yield decode(toBuffers([piece]));
      return undefined;
    },
  });
  return { client, sent };
}

describe("a call", () => {
  const { client, sent } = connect(billing, contractHandler(billing, handlers));

  it("is the method's name and the value, and its reply is the value", async () => {
    expect(await client.add({ amount: 3 })).toEqual({ total: 3 });
    expect(sent.splice(0).map((frames) => frames.map(String))).toEqual([["add", '{"amount":3}']]);
  });

  it("gives what the receiver's schema makes of a value", async () => {
    expect(await client.due({ customer: "x" })).toEqual(new Date("2026-01-02T03:04:05Z"));
  });

  it("has frames without bytes for undefined, and needs no argument then", async () => {
    sent.length = 0;
    expect(await client.reset()).toBeUndefined();
    expect(sent.splice(0).map((frames) => frames.map(String))).toEqual([["reset", ""]]);
  });

  it("that does not conform is not sent", async () => {
    sent.length = 0;
    const error = await failure(client.add({ amount: "3" as unknown as number }));
    expect(error).toMatchObject({
      code: "EINVAL",
      message: expect.stringMatching(/billing\.add .*amount: /),
    });
    expect(error.cause).toMatchObject([{ path: ["amount"] }]);
    expect(() => client.history({ last: "3" as unknown as number })).toThrow(/billing\.history .*last: /);
    expect(sent).toEqual([]);
  });

  it("whose reply does not conform to the client's schema is an error", async () => {
    const { add, history } = billing.methods;
    const methods = {
      ...billing.methods,
      add: { ...add, reply: z.string() },
      history: { ...history, stream: z.string() },
    };
    const { client } = connect({ ...billing, methods }, contractHandler(billing, handlers));
    const invalid = { code: "ERR_INVALID_MESSAGE" };
    expect(await failure(client.add({ amount: 3 }))).toMatchObject(invalid);
    expect(await failure(client.history({ last: 1 }).next())).toMatchObject(invalid);
  });
});

describe("a worker", () => {
  const add = vi.fn(handlers.add);
  const handle = contractHandler(billing, { ...handlers, add });
  const refused = (...frames: string[]) => {
    try {
      return void handle(toBuffers(frames), {});
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return error;
    }
  };

  it.each([
    ["a value of another type", ["add", '{"amount":"3"}']],
    ["a frame that is not JSON", ["add", "{amount"]],
    ["no value", ["add"]],
    ["two values", ["add", '{"amount":3}', '{"amount":3}']],
    ["undefined where there is to be a value", ["add", ""]],
  ])("refuses %s, and its handler is not called", (_, frames) => {
    expect(refused(...frames)).toMatchObject({ reason: "invalid-request", service: "billing" });
    expect(add).not.toHaveBeenCalled();
  });

  it("gives the issues of a request", () => {
    const { issues } = refused("add", '{"amount":"3"}')?.data as { issues: unknown[] };
    expect(issues).toEqual([{ path: ["amount"], message: expect.stringContaining("number") }]);
  });

  it.each([
    [["no"]],
    [[]],
    [["__proto__", "1"]],
    [["toString", "1"]],
  ])("refuses a request without a method of the contract: %j", (frames) => {
    expect(refused(...frames)).toMatchObject({ reason: "no-method" });
  });

  it("refuses its own handler's reply, and keeps why to itself", async () => {
    const wrong = contractHandler(billing, {
      ...handlers,
      add: () => ({ total: "secret" }) as unknown as { total: number },
      due: async () => "tomorrow",
      async *history() {
        yield { amount: "secret" } as unknown as { amount: number };
      },
    });
    expect(() => wrong(toBuffers(["add", '{"amount":3}']), {})).toThrow(
      expect.objectContaining({ reason: "invalid-reply", message: expect.not.stringContaining("secret") }),
    );
    const due = wrong(toBuffers(["due", '{"customer":"x"}']), {}) as Promise<string>;
    expect(await failure(due)).toMatchObject({
      reason: "invalid-reply",
      cause: { code: "ERR_INVALID_MESSAGE" },
    });
    const pieces = wrong(toBuffers(["history", '{"last":1}']), {}) as AsyncGenerator<string>;
    expect(await failure(pieces.next())).toMatchObject({ reason: "invalid-reply" });
  });

  it("that is an instance of a class has its state", async () => {
    class Billing implements ServiceHandlers<typeof billing> {
      #sum = 0;
      due = handlers.due;
      reset = handlers.reset;
      history = handlers.history;
      add({ amount }: { amount: number }) {
        this.#sum += amount;
        return { total: this.#sum };
      }
    }
    const { client } = connect(billing, contractHandler(billing, new Billing()));
    await client.add({ amount: 2 });
    expect(await client.add({ amount: 3 })).toEqual({ total: 5 });
  });
});

/** The client of a service whose only method takes and gives anything. */
function echoing(echo: (value: unknown) => unknown, codec: Codec<unknown> = json()) {
  const methods = { echo: { request: z.unknown(), reply: z.unknown() } };
  const contract = defineService({ name: "echo", methods, codec });
  return connect(contract, contractHandler(contract, { echo })).client;
}

it.each([msgpack(), json()])("the codec $name carries values and undefined", async (codec) => {
  const client = echoing((value) => value, codec);
  for (const value of [undefined, null, 0, "", "text", [1, { a: true }]])
    expect(await client.echo(value)).toEqual(value);
});

it("a codec that has a value for a frame without bytes keeps it", async () => {
  const client = echoing((value) => value, text() as Codec<unknown>);
  expect(await client.echo("")).toBe("");
});

it("a handler's reply may be a thenable whose then returns nothing", async () => {
  const client = echoing((value) => ({
    // biome-ignore lint/suspicious/noThenProperty: a thenable of a program
    then: (resolve: (value: unknown) => void) => void resolve(value),
  }));
  expect(await client.echo("x")).toBe("x");
});

const method = { request: z.string(), reply: z.string() };
it.each([
  ["no name", { methods: { ask: method } }, "name"],
  ["an empty name", { name: "", methods: { ask: method } }, "name"],
  ["no methods", { name: "s", methods: {} }, "one method"],
  ["an unknown key", { name: "s", methods: { ask: method }, codecs: json() }, "did you mean codec"],
  ["no codec", { name: "s", methods: { ask: method }, codec: "json" }, "codec"],
  ["a method without request", { name: "s", methods: { ask: { reply: z.string() } } }, "request of s.ask"],
  ["a method without reply", { name: "s", methods: { ask: { request: z.string() } } }, "s.ask"],
  ["reply and stream", { name: "s", methods: { ask: { ...method, stream: z.string() } } }, "s.ask"],
  ["a schema that is none", { name: "s", methods: { ask: { ...method, reply: {} } } }, "reply of s.ask"],
  [
    "a misspelled schema",
    { name: "s", methods: { ask: { ...method, replay: z.string() } } },
    "did you mean reply",
  ],
  ["a method's empty name", { name: "s", methods: { "": method } }, "255"],
  ["a method's long name", { name: "s", methods: { ["m".repeat(256)]: method } }, "255"],
  // biome-ignore lint/suspicious/noThenProperty: it is what is refused
  ["a method that makes a promise of it", { name: "s", methods: { then: method } }, "then"],
])("a contract with %s is refused", (_, definition, message) => {
  expect(() => defineService(definition as unknown as Parameters<typeof defineService>[0])).toThrow(
    expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(message) }),
  );
});

it.each([
  ["a missing handler", { ...handlers, add: undefined }, "billing.add"],
  ["a handler for no method", { ...handlers, ad: handlers.add }, "did you mean add"],
  ["none", null, "an object of functions"],
])("handlers with %s are refused", (_, given, message) => {
  expect(() => contractHandler(billing, given as unknown as typeof handlers)).toThrow(
    expect.objectContaining({ code: "EINVAL", message: expect.stringContaining(message) }),
  );
});
