import { describe, expect, test } from "vitest";
import { encodeCommand } from "../../../../src/engine/zmtp/codec/command.js";
import type { Mechanism } from "../../../../src/engine/zmtp/mechanism/mechanism.js";
import { PlainClient, PlainServer } from "../../../../src/engine/zmtp/mechanism/plain.js";
import fc, { forAll } from "../../../support/properties.js";
import { bodyOf, ERROR, ERROR_PLAIN, PLAIN_HELLO, PLAIN_WELCOME } from "../../../vectors/mechanism.js";
import { advanced, optionsOf, outOfOrder, properties, shake } from "./support.js";

const HELLO = bodyOf(PLAIN_HELLO);
const WELCOME = bodyOf(PLAIN_WELCOME);
const INITIATE = encodeCommand("INITIATE", properties("PUSH"));
const READY = encodeCommand("READY", properties("PULL"));

const newClient = () => new PlainClient(optionsOf({ properties: properties("PUSH") }));
const newServer = (asks = true) => new PlainServer(optionsOf({ properties: properties("PULL"), asks }));

/** Sides that have got as far as the name says. */
const STATES = {
  "client, hello sent": () => advanced(newClient()),
  "client, initiate sent": () => advanced(newClient(), WELCOME),
  "client, over": () => advanced(newClient(), WELCOME, READY),
  "server, start": () => advanced(newServer()),
  "server, asking": () => advanced(newServer(), HELLO),
  "server, welcome sent": () => advanced(newServer(), HELLO, "allowed"),
  "server, over": () => advanced(newServer(), HELLO, "allowed", INITIATE),
};
const reach = (state: string): Mechanism => STATES[state as keyof typeof STATES]();

test("both sides learn the other's properties, and the hook the credentials", () => {
  const { client, server } = shake(newClient(), newServer());
  expect(server.claim).toEqual({ mechanism: "PLAIN", username: "admin", password: "secret" });
  expect(client.done).toEqual(new Map([["socket-type", Buffer.from("PULL")]]));
  expect(server.done).toEqual(new Map([["socket-type", Buffer.from("PUSH")]]));
  expect(client.sent).toEqual([HELLO, INITIATE]);
  expect(server.sent).toEqual([WELCOME, READY]);
});

test("user names and passwords of every length up to 255 bytes arrive, whatever the text", () => {
  const text = fc.string({ unit: "binary", maxLength: 63 });
  forAll([text, text], {}, (plainUsername, plainPassword) => {
    const { server } = shake(new PlainClient(optionsOf({ plainUsername, plainPassword })), newServer());
    expect(server.claim).toEqual({
      mechanism: "PLAIN",
      username: Buffer.from(plainUsername).toString(),
      password: Buffer.from(plainPassword).toString(),
    });
    expect(server.done).toBeDefined();
  });
});

test.each(["hello sent", "initiate sent"])("the client takes libzmq's misspelt ERROR (%s)", (state) => {
  for (const error of [ERROR_PLAIN, ERROR])
    expect(reach(`client, ${state}`).receive(bodyOf(error)).failed).toMatchObject({
      kind: "auth",
      status: 400,
    });
});

test("neither password nor user name is in a fault's message", () => {
  const refused = shake(newClient(), newServer(), () => false);
  for (const outcome of [refused, shake(newClient(), newServer(false))]) {
    expect(outcome.server.failed?.message).not.toMatch(/admin|secret/);
    expect(outcome.client.failed?.message).not.toMatch(/admin|secret/);
  }
});

const UNEXPECTED = { code: "ERR_ZMTP_UNEXPECTED_COMMAND" };

describe("commands out of order are a fault:", () => {
  const commands = {
    HELLO,
    WELCOME,
    INITIATE,
    READY,
    nothing: Buffer.alloc(0),
    MESSAGE: Buffer.from("\u0007MESSAGE"),
  };
  const due = [
    "client, hello sent gets WELCOME",
    "client, initiate sent gets READY",
    "server, start gets HELLO",
    "server, welcome sent gets INITIATE",
  ];
  test.each(outOfOrder(STATES, commands, due))("%s, gets %s", (state, name) => {
    const side = reach(state);
    expect(side.receive(commands[name]).failed).toMatchObject({ kind: "protocol", ...UNEXPECTED });
    // And it stays at that.
    for (const later of Object.values(commands)) expect(side.receive(later).failed).toBeDefined();
  });

  test.each(["start", "welcome sent", "over"])("a verdict that was not asked for, %s", (state) => {
    expect(reach(`server, ${state}`).authenticated(true).failed).toMatchObject(UNEXPECTED);
  });
});

describe("malformed:", () => {
  test("HELLO whose lengths do not fill it, to the byte", () => {
    const fields = HELLO.subarray(6);
    for (let length = 0; length < fields.length; length++) {
      const step = newServer().receive(encodeCommand("HELLO", fields.subarray(0, length)));
      expect(step.failed).toMatchObject({ kind: "protocol", code: "ERR_ZMTP_MALFORMED_COMMAND_HELLO" });
    }
    for (const at of [0, 6]) {
      for (const by of [-1, 1, 200]) {
        const damaged = Buffer.from(fields);
        damaged.writeUInt8((damaged.readUInt8(at) + by) & 255, at);
        const { failed } = newServer().receive(encodeCommand("HELLO", damaged));
        expect(failed).toMatchObject({ kind: "protocol" });
      }
    }
    expect(newServer().receive(Buffer.concat([HELLO, Buffer.from([0])])).failed).toMatchObject({
      code: "ERR_ZMTP_MALFORMED_COMMAND_HELLO",
    });
  });

  test("WELCOME with data", () => {
    const { failed } = advanced(newClient()).receive(encodeCommand("WELCOME", Buffer.of(0)));
    expect(failed).toMatchObject({ kind: "protocol", code: "ERR_ZMTP_MALFORMED_COMMAND_WELCOME" });
  });

  test("INITIATE and READY whose metadata is cut anywhere", () => {
    for (let length = 1; length < properties("PUSH").length; length++) {
      const cut = properties("PUSH").subarray(0, length);
      const server = reach("server, welcome sent").receive(encodeCommand("INITIATE", cut));
      const client = reach("client, initiate sent").receive(encodeCommand("READY", cut));
      for (const side of [server, client])
        expect(side.failed).toMatchObject({ code: "ERR_ZMTP_INVALID_METADATA" });
    }
  });
});
