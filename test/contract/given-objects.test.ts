/** What a program's codecs, signals and arrays do within a call. */
import { expect, it } from "vitest";
import { type Codec, InvalidArgumentError, Pull, Push } from "../../src/index.js";
import { describeTransports } from "./support/engines.js";
import { failure, nextEvent, until } from "./support/wait.js";

function codec(does: Partial<Codec<string>>): Codec<string> {
  return { name: "given", encode: (value) => value, decode: (frame) => frame.toString(), ...does };
}

describeTransports("a codec", (world) => {
  it.each(["send", "trySend"] as const)("that closes its socket within %s gets EBADF", async (call) => {
    const pull = world.pull();
    const push: Push<string> = world.push({
      codec: codec({
        encode(value) {
          void push.close({ linger: 0 });
          return value;
        },
      }),
    });
    await world.link(pull, push);
    expect((await failure((async () => push[call]("lost"))())).code).toBe("EBADF");
    expect(push.stats()).toMatchObject({ sent: 0, pendingSends: 0 });
  });

  it.each([
    ["receive", (pull: Pull<string>, signal?: AbortSignal) => pull.receive({ signal })],
    ["receiveMany", (pull: Pull<string>, signal?: AbortSignal) => pull.receiveMany({ signal })],
  ])("that aborts its waiting %s loses no message", async (_, receive) => {
    const controller = new AbortController();
    const pull: Pull<string> = world.pull({
      receiveTimeout: 8_000,
      codec: codec({
        decode(frame) {
          controller.abort();
          return frame.toString();
        },
      }),
    });
    const push = world.push();
    await world.link(pull, push);
    const aborted = failure(receive(pull, controller.signal));
    for (const text of ["one", "two", "three"]) await push.send(text);
    expect((await aborted).code).toBe("ABORT_ERR");
    expect(pull.stats().pendingReceives).toBe(0);
    const texts: string[] = [];
    while (texts.length < 3) texts.push(...(await pull.receive()));
    expect(texts).toEqual(["one", "two", "three"]);
    expect(pull.stats()).toMatchObject({ received: 3, pendingReceives: 0 });
  });

  it("that refuses the last message and closes its socket ends the call", async () => {
    const pull: Pull<string> = world.pull({
      codec: codec({
        decode() {
          void pull.close({ linger: 0 });
          throw new Error("no such message");
        },
      }),
    });
    const push = world.push();
    await world.link(pull, push);
    const invalid = nextEvent(pull, "invalid");
    await push.send("bad");
    await until(() => pull.readable, "the message");
    expect((await failure(pull.receive())).code).toBe("EAGAIN");
    expect((await invalid).reason).toBe("codec");
    expect(pull.stats().pendingReceives).toBe(0);
  });
});

describeTransports("a class of the program's that extends Uint8Array", (world) => {
  class Key extends Uint8Array {
    constructor(bytes: Uint8Array) {
      super(4 * bytes.length);
      for (let i = 0; i < 4; i++) this.set(bytes, i * bytes.length);
    }
  }

  it.each([1, 1_000, 50_000])("of four times %i bytes arrives as it was sent", async (size) => {
    const [pull, push] = await world.linked(world.pull({ receiveTimeout: 8_000 }), world.push());
    const key = new Key(Buffer.alloc(size, "key"));
    for (const options of [{}, { copy: true }, { transfer: true }]) {
      await push.send(["name", key], options);
      const [, received] = (await pull.receive()) as [Buffer, Buffer];
      expect(received.equals(Buffer.from(key.buffer))).toBe(true);
    }
  });
});

const listens = { aborted: false, addEventListener: () => undefined };

it.each([
  ["lacks removeEventListener", listens],
  ["is another event target", new EventTarget()],
  ["is a controller", new AbortController()],
  ["is null", null],
])("a signal that %s is refused", async (_, given) => {
  const options = { signal: given as unknown as AbortSignal };
  const [pull, push] = [new Pull(), new Push()];
  for (const call of [pull.receive(options), pull.receiveMany(options), push.send("x", options)])
    expect(await failure(call)).toBeInstanceOf(InvalidArgumentError);
  await Promise.all([pull.close(), push.close()]);
});
