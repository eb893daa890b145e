import { describe, expect, test } from "vitest";
import { encodeCommand } from "../../../../src/engine/zmtp/codec/command.js";
import { PlainClient, PlainServer } from "../../../../src/engine/zmtp/mechanism/plain.js";
import fc from "../../../support/properties.js";
import { bodyOf, ERROR, ERROR_PLAIN, PLAIN_HELLO, PLAIN_WELCOME } from "../../../vectors/mechanism.js";
import { optionsOf, properties, shake } from "./support.js";

const HELLO = bodyOf(PLAIN_HELLO);
const WELCOME = bodyOf(PLAIN_WELCOME);
const INITIATE = encodeCommand("INITIATE", properties("PUSH"));
const READY = encodeCommand("READY", properties("PULL"));

const newClient = () => new PlainClient(optionsOf({ properties: properties("PUSH") }));
const newServer = (asks = true) => new PlainServer(optionsOf({ properties: properties("PULL"), asks }));

/** A client that has got as far as the name says. */
const CLIENTS: Record<string, () => PlainClient> = {
  "hello sent": () => {
    const side = newClient();
    side.start();
    return side;
  },
  "initiate sent": () => {
    const side = CLIENTS["hello sent"]?.() as PlainClient;
    side.receive(WELCOME);
    return side;
  },
  over: () => {
    const side = CLIENTS["initiate sent"]?.() as PlainClient;
    side.receive(READY);
    return side;
  },
};

const SERVERS: Record<string, () => PlainServer> = {
  start: () => {
    const side = newServer();
    side.start();
    return side;
  },
  asking: () => {
    const side = SERVERS.start?.() as PlainServer;
    side.receive(HELLO);
    return side;
  },
  "welcome sent": () => {
    const side = SERVERS.asking?.() as PlainServer;
    side.authenticated(true);
    return side;
  },
  over: () => {
    const side = SERVERS["welcome sent"]?.() as PlainServer;
    side.receive(INITIATE);
    return side;
  },
};

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
  fc.assert(
    fc.property(text, text, (plainUsername, plainPassword) => {
      const { server } = shake(new PlainClient(optionsOf({ plainUsername, plainPassword })), newServer());
      expect(server.claim).toEqual({
        mechanism: "PLAIN",
        username: Buffer.from(plainUsername).toString(),
        password: Buffer.from(plainPassword).toString(),
      });
      expect(server.done).toBeDefined();
    }),
  );
});

test.each(["hello sent", "initiate sent"])("the client takes libzmq's misspelt ERROR (%s)", (state) => {
  expect(CLIENTS[state]?.().receive(bodyOf(ERROR_PLAIN)).failed).toMatchObject({ kind: "auth", status: 400 });
  expect(CLIENTS[state]?.().receive(bodyOf(ERROR)).failed).toMatchObject({ kind: "auth", status: 400 });
});

test("neither password nor user name is in a fault's message", () => {
  for (const outcome of [
    shake(newClient(), newServer(), () => false),
    shake(newClient(), newServer(false)),
  ]) {
    expect(outcome.server.failed?.message).not.toMatch(/admin|secret/);
    expect(outcome.client.failed?.message).not.toMatch(/admin|secret/);
  }
});

describe("commands out of order are a fault:", () => {
  const commands = {
    HELLO,
    WELCOME,
    INITIATE,
    READY,
    nothing: Buffer.alloc(0),
    MESSAGE: Buffer.from("\u0007MESSAGE"),
  };
  const allowed = new Set([
    "client hello sent WELCOME",
    "client initiate sent READY",
    "server start HELLO",
    "server welcome sent INITIATE",
  ]);
  const cases = [
    ...Object.keys(CLIENTS).map((state) => ["client", state, CLIENTS[state]] as const),
    ...Object.keys(SERVERS).map((state) => ["server", state, SERVERS[state]] as const),
  ].flatMap(([side, state, make]) =>
    Object.entries(commands).map(([name, body]) => [side, state, name, make, body] as const),
  );
  test.each(
    cases.filter(([side, state, name]) => !allowed.has(`${side} ${state} ${name}`)),
  )("%s, %s, gets %s", (_side, _state, _name, make, body) => {
    const side = make?.();
    expect(side?.receive(body).failed).toMatchObject({
      kind: "protocol",
      code: "ERR_ZMTP_UNEXPECTED_COMMAND",
    });
    // And it stays at that.
    for (const later of Object.values(commands)) expect(side?.receive(later).failed).toBeDefined();
  });

  test.each(["start", "welcome sent", "over"])("a verdict that was not asked for, %s", (state) => {
    expect(SERVERS[state]?.().authenticated(true).failed).toMatchObject({
      code: "ERR_ZMTP_UNEXPECTED_COMMAND",
    });
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
        expect(newServer().receive(encodeCommand("HELLO", damaged)).failed).toMatchObject({
          kind: "protocol",
        });
      }
    }
    expect(newServer().receive(Buffer.concat([HELLO, Buffer.from([0])])).failed).toMatchObject({
      code: "ERR_ZMTP_MALFORMED_COMMAND_HELLO",
    });
  });

  test("WELCOME with data", () => {
    expect(
      CLIENTS["hello sent"]?.().receive(encodeCommand("WELCOME", Buffer.from([0]))).failed,
    ).toMatchObject({
      kind: "protocol",
      code: "ERR_ZMTP_MALFORMED_COMMAND_WELCOME",
    });
  });

  test("INITIATE and READY whose metadata is cut anywhere", () => {
    for (let length = 1; length < properties("PUSH").length; length++) {
      const cut = properties("PUSH").subarray(0, length);
      const code = "ERR_ZMTP_INVALID_METADATA";
      expect(SERVERS["welcome sent"]?.().receive(encodeCommand("INITIATE", cut)).failed).toMatchObject({
        code,
      });
      expect(CLIENTS["initiate sent"]?.().receive(encodeCommand("READY", cut)).failed).toMatchObject({
        code,
      });
    }
  });
});
