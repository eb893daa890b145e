import { afterEach, expect, test, vi } from "vitest";
import { OPTIONS, type OptionSpec } from "../../../src/core/option-table.js";
import { SocketType, type SocketTypeName } from "../../../src/core/socket-type.js";
import {
  isNativeOption,
  loadNative,
  nativeClassOf,
  nativeOptions,
  optionNames,
} from "../../../src/engine/libzmq/native.js";
import { resolveOptions } from "../../../src/sockets/check-options.js";

const TYPES = Object.keys(SocketType) as SocketTypeName[];

function chosenFor(type: SocketTypeName, given: Record<string, unknown> = {}): Record<string, unknown> {
  return nativeOptions(resolveOptions(type, given), SocketType[type]);
}

afterEach(() => void vi.restoreAllMocks());

test("a socket with defaults only is set what shoal's defaults change, and nothing else", () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  for (const type of TYPES) {
    expect(chosenFor(type), type).toStrictEqual({
      heartbeatInterval: 5_000,
      heartbeatTimeout: 30_000,
      maxMessageSize: 67_108_864,
    });
  }
});

test("the defaults of the table, or its zeromqDefault, are those of a fresh native socket", () => {
  const native = loadNative();
  for (const type of ["Router", "XPublisher", "Request", "Stream", "Pull", "Subscriber"] as const) {
    const NativeClass = nativeClassOf(native, type);
    const socket = new NativeClass({}) as unknown as Record<string, unknown> & { close(): void };
    for (const name of optionNames(SocketType[type])) {
      const { default: own, zeromqDefault = own }: OptionSpec = OPTIONS[name];
      // libzmq's SUB has nothing to linger for.
      if (!isNativeOption(name) || (type === "Subscriber" && name === "linger")) continue;
      if (isReadable(socket, name)) expect(socket[name], `${name} of ${type}`).toBe(zeromqDefault);
    }
    socket.close();
  }
});

/** Whether the package reads the option back: some can only be set. */
function isReadable(socket: Record<string, unknown>, name: string): boolean {
  try {
    return socket[name] !== undefined;
  } catch {
    return false;
  }
}
