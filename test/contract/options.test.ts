import { expect, it } from "vitest";
import { hasOption, OPTIONS, type OptionSpec } from "../../src/core/option-table.js";
import { Push, type Socket } from "../../src/index.js";
import { SOCKET_CLASSES } from "../support/socket-classes.js";
import { capabilitiesOf, describeEngines } from "./support/engines.js";
import { failure, thrown } from "./support/wait.js";

type Bag = Record<string, unknown>;
/** A socket whose options are looked at by name. */
type Holder = Bag & Pick<Socket, "bind" | "connect">;
const SPECS = Object.entries(OPTIONS) as [string, OptionSpec][];

/** Every engine takes them at any time, without privileges, hardware or a build of its own. */
const SETTABLE: Bag = {
  sendHighWaterMark: 7,
  receiveHighWaterMark: 0,
  sendTimeout: 250,
  receiveTimeout: 0,
  maxPendingSends: 1,
  maxPendingReceives: 2,
  maxMessageSize: 1_024,
  linger: 0,
  immediate: true,
  backlog: 5,
  connectTimeout: 100,
  handshakeInterval: 0,
  heartbeatInterval: 0,
  heartbeatTimeout: 9_000,
  heartbeatTimeToLive: 65_500,
  reconnectInterval: -1,
  reconnectMaxInterval: 0,
  ipv6: true,
  sendBufferSize: 65_536,
  receiveBufferSize: 65_536,
  tcpKeepalive: 1,
  tcpKeepaliveCount: 3,
  tcpKeepaliveIdle: 30,
  tcpKeepaliveInterval: 5,
  typeOfService: 8,
  routingId: "name",
  mandatory: true,
  handover: true,
  probeRouter: true,
  correlate: true,
  relaxed: true,
  notify: false,
  manual: true,
  welcomeMessage: "welcome",
  verbosity: "allSubs",
  invertMatching: true,
  plainServer: true,
  plainUsername: "user",
  plainPassword: "password",
  curvePublicKey: "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7",
  curveSecretKey: "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs",
  zapDomain: "domain",
};

describeEngines("options", (world) => {
  type Of = (typeof SOCKET_CLASSES)[0][1];
  const make = (of: Of, options?: Bag): Holder => world.make(of, options) as unknown as Holder;

  it.each(SOCKET_CLASSES)("%s has the defaults of the table, each as a property", (name, of) => {
    const socket = make(of);
    for (const [option, spec] of SPECS) {
      if (hasOption(name, option)) expect(socket[option], option).toBe(spec.default);
      else expect(option in socket, option).toBe(false);
    }
  });

  it.each(
    SOCKET_CLASSES,
  )("%s refuses a wrong value at construction or later, keeping its own", (name, of) => {
    const socket = make(of);
    for (const [option, spec] of SPECS) {
      if (!hasOption(name, option)) continue;
      for (const attempt of [
        () => make(of, { [option]: {} }),
        () => {
          socket[option] = {};
        },
      ]) {
        const error = thrown(attempt);
        expect(error.code, option).toBe("EINVAL");
        expect(error.message, option).toContain(option);
      }
      expect(socket[option], option).toBe(spec.default);
    }
    expect(() => {
      socket.sendHighWatermark = 5;
    }).toThrow();
  });

  it.each(SOCKET_CLASSES)("%s takes good values, at construction or later, and returns them", (name, of) => {
    for (const [option, value] of Object.entries(SETTABLE)) {
      if (!hasOption(name, option)) continue;
      if (capabilitiesOf(world.engine).unsupportedOptions.includes(option)) {
        expect(thrown(() => make(of, { [option]: value })).code, option).toBe("NOT_SUPPORTED");
        continue;
      }
      expect(make(of, { [option]: value })[option], option).toEqual(value);
      const socket = make(of);
      socket[option] = value;
      expect(socket[option], option).toEqual(value);
      const { default: standard } = OPTIONS[option as keyof typeof OPTIONS] as OptionSpec;
      if (standard === null) continue; // libzmq keeps what it once had.
      socket[option] = standard;
      expect(socket[option], option).toBe(standard);
    }
  });

  it("the other options that an option needs are asked for before anything is bound or connected", async () => {
    const key = SETTABLE.curveSecretKey;
    const secret = "S3cret";
    const needsPair = /curvePublicKey and curveSecretKey/;
    for (const [options, message] of [
      [{ curveServer: true }, /curveSecretKey/],
      [{ curveServerKey: key }, needsPair],
      [{ curveServerKey: key, curvePublicKey: key }, needsPair],
      [{ curveServerKey: key, curveSecretKey: key }, needsPair],
      [{ curveServer: true, curveSecretKey: key, curveServerKey: key }, /exclude each other/],
      [{ plainServer: true, plainUsername: secret }, /exclude each other/],
      [{ plainPassword: secret }, /plainUsername/],
    ] as const) {
      const socket = make(Push, options);
      for (const error of [
        await failure(socket.bind("tcp://127.0.0.1:*")),
        thrown(() => socket.connect("tcp://127.0.0.1:1")),
      ]) {
        expect(error).toMatchObject({ code: "EINVAL", message: expect.stringMatching(message) });
        for (const given of [key, secret]) expect(error.message).not.toContain(given);
      }
      expect(socket.lastEndpoint).toBeNull();
    }
  });
});
