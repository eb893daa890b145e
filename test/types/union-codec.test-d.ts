/** Messages of several forms, distinguished by a property: what a protocol of one's own usually has. */
import { expectTypeOf } from "vitest";
import { json, Pull, Push, Router } from "../../src/index.js";

type News = { type: "bound"; endpoint: string } | { type: "count"; files: number };
const codec = json<News>();

const push = new Push({ codec });
push.send({ type: "count", files: 1 });
push.send([{ type: "bound", endpoint: "tcp://127.0.0.1:5555" }]);
// @ts-expect-error A count has no endpoint.
push.send({ type: "count", endpoint: "tcp://127.0.0.1:5555" });

const [message] = await new Pull({ codec }).receive();
expectTypeOf(message).toEqualTypeOf<News>();
if (message.type === "count") expectTypeOf(message.files).toEqualTypeOf<number>();

new Router({ codec }).send(["peer", { type: "count", files: 1 }]);
