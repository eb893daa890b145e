/**
 * What the type checker says of the sockets, checked by tsc (types.test.ts runs
 * it with the other tests). Each `@ts-expect-error` is a call that must not compile.
 */
import * as v from "valibot";
import { expectTypeOf } from "vitest";
import type * as zeromq from "zeromq";
import { z } from "zod";
import {
  type CloseResult,
  type Codec,
  Context,
  Dealer,
  Envelope,
  type EventOfType,
  json,
  type MessageLike,
  msgpack,
  Pair,
  Publisher,
  type PublisherOptions,
  Pull,
  type PullOptions,
  Push,
  type PushOptions,
  Reply,
  Request,
  Router,
  type RouterOptions,
  type ShoalError,
  type SocketEvent,
  type SocketStats,
  Stream,
  Subscriber,
  text,
  XPublisher,
  XSubscriber,
} from "../../src/index.js";

interface Job {
  readonly id: number;
}
const codec = json<Job>();
const job: Job = { id: 1 };

// Without a codec: frames, as in the package zeromq.
{
  const push = new Push();
  const pull = new Pull();
  expectTypeOf(push).toEqualTypeOf<Push>();
  expectTypeOf<Parameters<typeof push.send>[0]>().toEqualTypeOf<MessageLike | MessageLike[]>();
  expectTypeOf<Parameters<typeof push.trySend>[0]>().toEqualTypeOf<MessageLike | MessageLike[]>();
  expectTypeOf(push.send).returns.toEqualTypeOf<Promise<void>>();
  expectTypeOf(push.trySend).returns.toEqualTypeOf<boolean>();
  expectTypeOf(pull.receive).returns.toEqualTypeOf<Promise<Buffer[]>>();
  expectTypeOf(pull.receiveMany).returns.toEqualTypeOf<Promise<Buffer[][]>>();
  expectTypeOf(new Request().request).returns.toEqualTypeOf<Promise<Buffer[]>>();
  expectTypeOf(new XPublisher().receive).returns.toEqualTypeOf<Promise<Buffer[]>>();
  expectTypeOf(new XSubscriber().receive).returns.toEqualTypeOf<Promise<Buffer[]>>();
  expectTypeOf(new Stream().receive).returns.toEqualTypeOf<Promise<[Buffer, Buffer]>>();
  expectTypeOf(new Stream().send).parameter(0).toEqualTypeOf<[MessageLike, MessageLike]>();
  async function loop(): Promise<void> {
    for await (const message of pull) expectTypeOf(message).toEqualTypeOf<Buffer[]>();
    for await (const [frame] of pull) expectTypeOf(frame).toEqualTypeOf<Buffer | undefined>();
  }
  void loop;
}

// Whatever the package zeromq lets a program send, and does with what it receives, compiles here too.
type Sent = Parameters<zeromq.Push["send"]>[0];
expectTypeOf<Sent>().toExtend<Parameters<Push["send"]>[0]>();
expectTypeOf<Sent>().toExtend<Parameters<Router["send"]>[0]>();
expectTypeOf<Sent>().toExtend<Parameters<Publisher["send"]>[0]>();
expectTypeOf<Awaited<ReturnType<Pull["receive"]>>>().toExtend<Awaited<ReturnType<zeromq.Pull["receive"]>>>();
expectTypeOf<Awaited<ReturnType<Reply["receive"]>>>().toExtend<
  Awaited<ReturnType<zeromq.Reply["receive"]>>
>();
expectTypeOf<Parameters<zeromq.Subscriber["subscribe"]>>().toExtend<Parameters<Subscriber["subscribe"]>>();
expectTypeOf<Parameters<zeromq.Push["bind"]>>().toExtend<Parameters<Push["bind"]>>();

// A body: the value, alone or as the only element of an array.
{
  const push = new Push({ codec });
  expectTypeOf(push).toEqualTypeOf<Push<Job>>();
  expectTypeOf<Parameters<typeof push.send>[0]>().toEqualTypeOf<Job | readonly [Job]>();
  push.send(job);
  push.send([job]);
  push.trySend({ id: 2 });
  // @ts-expect-error: two values are no message
  push.send([job, job]);
  // @ts-expect-error: nor is a value of another type
  push.send({ id: "1" });
  // @ts-expect-error: nor are plain frames
  push.send("frame");

  expectTypeOf(new Pull({ codec }).receive).returns.toEqualTypeOf<Promise<[Job]>>();
  expectTypeOf(new Pull({ codec }).receiveMany).returns.toEqualTypeOf<Promise<[Job][]>>();
  for (const socket of [
    new Pair({ codec }),
    new Dealer({ codec }),
    new Reply({ codec }),
    new Request({ codec }),
  ]) {
    expectTypeOf(socket.receive).returns.toEqualTypeOf<Promise<[Job]>>();
    expectTypeOf<Parameters<typeof socket.send>[0]>().toEqualTypeOf<Job | readonly [Job]>();
  }
  expectTypeOf(new Request({ codec }).request).returns.toEqualTypeOf<Promise<[Job]>>();
  expectTypeOf(new Request({ codec }).request).parameter(0).toEqualTypeOf<Job | readonly [Job]>();
  async function loop(): Promise<void> {
    for await (const [value] of new Pull({ codec })) expectTypeOf(value).toEqualTypeOf<Job>();
    for await (const [value] of new Pull({ codec }).messages()) expectTypeOf(value).toEqualTypeOf<Job>();
  }
  void loop;
}

// A value that is itself an array is sent in an array: alone it could be taken for frames.
{
  const push = new Push({ codec: json<string[]>() });
  push.send([["a", "b"]]);
  // @ts-expect-error: is it one value, or two?
  push.send(["a", "b"]);
}

// A topic and a value.
{
  const publisher = new Publisher({ codec });
  expectTypeOf(publisher.send).parameter(0).toEqualTypeOf<readonly [topic: MessageLike, body: Job]>();
  publisher.send(["topic", job]);
  // @ts-expect-error: a value needs its topic
  publisher.send(job);
  // @ts-expect-error: the value comes last
  publisher.send([job, "topic"]);
  expectTypeOf(new Subscriber({ codec }).receive).returns.toEqualTypeOf<
    Promise<[topic: Buffer, body: Job]>
  >();
}

// A routing id, frames between, and a value.
{
  const router = new Router({ codec });
  router.send(["id", job]);
  router.send([Buffer.from("id"), "", job]);
  // @ts-expect-error: a value needs its routing id
  router.send([job]);
  // @ts-expect-error: the value comes last
  router.send([job, "id"]);
  expectTypeOf(router.receive).returns.toEqualTypeOf<Promise<[Buffer, ...Buffer[], Job]>>();
  router.reply(new Envelope(["id"]), job);
  // @ts-expect-error: a reply's body is the value
  router.reply(new Envelope(["id"]), "text");
  // @ts-expect-error: frames are no envelope
  router.reply([Buffer.from("id")], job);
}

// Direction.
{
  const push = new Push();
  // @ts-expect-error: a Push never receives
  push.receive();
  // @ts-expect-error: nor can it be looped over
  push[Symbol.asyncIterator]();
  // @ts-expect-error: a Publisher never receives
  new Publisher().receive();
  // @ts-expect-error: a Pull never sends
  new Pull().send("a");
  // @ts-expect-error: a Subscriber never sends
  new Subscriber().trySend("a");
  // @ts-expect-error: only a Subscriber subscribes
  new Pull().subscribe("a");
}

// Options.
{
  new Push({ sendHighWaterMark: 1, linger: 0, codec: text(), context: new Context() });
  // @ts-expect-error: misspelt
  new Push({ sendHighWatermark: 1 });
  // @ts-expect-error: of the wrong type
  new Push({ linger: "0" });
  // @ts-expect-error: an option of receivers
  new Push({ receiveTimeout: 1 });
  // @ts-expect-error: an option of senders
  new Pull({ sendTimeout: 1 });
  // @ts-expect-error: an option of ROUTER
  new Dealer({ mandatory: true });
  // @ts-expect-error: no codec
  new Push({ codec: {} });
  // @ts-expect-error: messages of an XPublisher are frames
  new XPublisher({ codec: text() });
  // @ts-expect-error: messages of a Stream are frames
  new Stream({ codec: text() });
  // @ts-expect-error: no verbosity
  new XPublisher({ verbosity: "all" });
  // @ts-expect-error: a hook answers true or false
  new Push({ authenticate: () => "yes" });
  // @ts-expect-error: no engine
  new Context({ engine: {} });
  new Router({ authenticate: async ({ username, password }) => username === "u" && password === "p" });

  expectTypeOf<PushOptions<Job>["codec"]>().toEqualTypeOf<Codec<Job> | undefined>();
  expectTypeOf<RouterOptions["mandatory"]>().toEqualTypeOf<boolean | undefined>();
  expectTypeOf<PullOptions>().not.toHaveProperty("sendTimeout");
  expectTypeOf<PublisherOptions>().toHaveProperty("noDrop");
  const push = new Push();
  // @ts-expect-error: properties have types, too
  push.linger = "0";
  // @ts-expect-error: a subscriber waits for messages, not for a time-out in words
  new Pull().receive({ timeout: "1 s" });
}

// What codecs and schemas say of the value.
{
  expectTypeOf(text()).toEqualTypeOf<Codec<string>>();
  expectTypeOf(json()).toEqualTypeOf<Codec<unknown>>();
  expectTypeOf(msgpack<Job>()).toEqualTypeOf<Codec<Job>>();
  expectTypeOf(json(z.object({ id: z.number() }))).toEqualTypeOf<Codec<{ id: number }>>();
  expectTypeOf(msgpack(v.object({ id: v.number() }))).toEqualTypeOf<Codec<{ id: number }>>();
  expectTypeOf(text(z.enum(["on", "off"]))).toEqualTypeOf<Codec<"on" | "off">>();
  expectTypeOf(json(z.union([z.literal(1), z.array(z.string())]))).toEqualTypeOf<Codec<1 | string[]>>();
  // @ts-expect-error: a schema of numbers is none for text
  text(z.number());

  const pull = new Pull({ codec: json(z.object({ at: z.string() })) });
  expectTypeOf(pull.receive).returns.toEqualTypeOf<Promise<[{ at: string }]>>();
  const any = new Push({ codec: json() });
  any.send(1);
  any.send(["in an array"]);

  const own: Codec<Date> = {
    name: "date",
    encode: (value) => value.toISOString(),
    decode: (frame) => new Date(String(frame)),
  };
  new Push({ codec: own }).send(new Date());
}

// Messages of several forms, distinguished by a property: what a protocol of one's own usually has.
{
  type News = { type: "bound"; endpoint: string } | { type: "count"; files: number };
  const codec = json<News>();
  const push = new Push({ codec });
  push.send({ type: "count", files: 1 });
  push.send([{ type: "bound", endpoint: "tcp://127.0.0.1:5555" }]);
  // @ts-expect-error: a count has no endpoint
  push.send({ type: "count", endpoint: "tcp://127.0.0.1:5555" });
  const [message] = await new Pull({ codec }).receive();
  expectTypeOf(message).toEqualTypeOf<News>();
  if (message.type === "count") expectTypeOf(message.files).toEqualTypeOf<number>();
  new Router({ codec }).send(["peer", { type: "count", files: 1 }]);
}

// Events, results, statistics.
{
  const push = new Push();
  push.events.on("connect:retry", (event) => {
    expectTypeOf(event).toEqualTypeOf<EventOfType<"connect:retry">>();
    expectTypeOf(event.interval).toEqualTypeOf<number>();
  });
  push.events.on("drop", (event) => expectTypeOf(event.messages).toEqualTypeOf<number>());
  // @ts-expect-error: no such event
  push.events.on("connection", () => undefined);
  // @ts-expect-error: this event has no interval
  push.events.on("bind", (event) => event.interval);
  expectTypeOf(push.events.receive).returns.toEqualTypeOf<Promise<SocketEvent>>();
  expectTypeOf(push.close).returns.toEqualTypeOf<Promise<CloseResult>>();
  expectTypeOf(push.stats).returns.toEqualTypeOf<SocketStats>();
  expectTypeOf<EventOfType<"bind:error">["error"]>().toExtend<ShoalError>();
  // @ts-expect-error: statistics are read only
  push.stats().sent = 1;
}
