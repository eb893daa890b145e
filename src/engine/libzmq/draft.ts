/**
 * Adapts the package's draft sockets, which pass the first frame as an argument of `send`, and as the last
 * element of the result of `receive`.
 *
 *   SERVER         [routing id, 4 bytes, big-endian | body]
 *   RADIO, DISH    [group | body]
 */

import { NotSupportedError } from "../../core/errors.js";
import { requireHere } from "../../core/require-here.js";
import type { SocketTypeName } from "../../core/socket-type.js";
import type { OutgoingFrame, OutgoingMessage } from "../engine.js";
import type { Native, NativeSocket, NativeSocketClass } from "./native.js";

const NUMBERS = { xpubNoDrop: 69 } as const;

const MISSING_SOCKETS = ["Datagram", "Peer", "Channel"] as const;

const WHY: Readonly<Record<(typeof MISSING_SOCKETS)[number], string>> = {
  Datagram: "some malformed datagrams end the process in libzmq",
  Peer: "the package zeromq has none",
  Channel: "the package zeromq has none",
};

const DRAFT = ["Server", "Client", "Radio", "Dish", "Gather", "Scatter"] as const;
type DraftName = (typeof DRAFT)[number];

interface DraftSocket extends NativeSocket {
  send(message: unknown, options?: object): Promise<void>;
  receive(): Promise<Buffer[]>;
}
type DraftClass = new (options: Record<string, unknown>) => DraftSocket;
type Drafts = Readonly<Record<DraftName, DraftClass>>;

let classes: Readonly<Record<DraftName, NativeSocketClass>> | undefined;

export function nativeClassOf(native: Native, type: SocketTypeName): NativeSocketClass {
  if (isMissing(type)) {
    throw new NotSupportedError(`The libzmq engine has no ${type}: ${WHY[type]}; the zmtp engine has it`);
  }
  if (!isDraft(type)) return native[type];
  if (native.capability.draft !== true)
    throw new NotSupportedError(`The libzmq engine has no ${type}: zeromq was built without draft sockets`);
  classes ??= draftClasses(native, requireHere()("zeromq/draft") as Drafts);
  return classes[type];
}

function isMissing(type: SocketTypeName): type is (typeof MISSING_SOCKETS)[number] {
  return (MISSING_SOCKETS as readonly string[]).includes(type);
}

function isDraft(type: SocketTypeName): type is DraftName {
  return (DRAFT as readonly string[]).includes(type);
}

function draftClasses(native: Native, drafts: Drafts): Readonly<Record<DraftName, NativeSocketClass>> {
  const { join, leave } = (native as unknown as { Socket: { prototype: Groups } }).Socket.prototype;

  class Server extends drafts.Server {
    override send(message: OutgoingMessage): Promise<void> {
      // Without frames `send` only waits until the socket is writable.
      if (message.length === 0) return super.send([], { routingId: 1 });
      const [id, body] = message as [Buffer, OutgoingFrame];
      return super.send(body, { routingId: id.readUInt32BE() });
    }

    override async receive(): Promise<Buffer[]> {
      const [body, { routingId }] = (await super.receive()) as unknown as [Buffer, { routingId: number }];
      const id = Buffer.alloc(4);
      id.writeUInt32BE(routingId);
      return [id, body];
    }
  }

  class Radio extends drafts.Radio {
    override send(message: OutgoingMessage): Promise<void> {
      if (message.length === 0) return super.send([], { group: "" });
      const [group, body] = message as [OutgoingFrame, OutgoingFrame];
      return super.send(body, { group });
    }

    get noDrop(): boolean {
      return (this as unknown as BoolOptions).getBoolOption(NUMBERS.xpubNoDrop);
    }

    set noDrop(on: boolean) {
      (this as unknown as BoolOptions).setBoolOption(NUMBERS.xpubNoDrop, on);
    }
  }

  class Dish extends drafts.Dish {
    override async receive(): Promise<Buffer[]> {
      const [body, { group }] = (await super.receive()) as unknown as [Buffer, { group: Buffer }];
      return [group, body];
    }

    // The package's `join` passes no socket here.
    override subscribe(group: Uint8Array): void {
      join.call(this, asBuffer(group));
    }

    override unsubscribe(group: Uint8Array): void {
      leave.call(this, asBuffer(group));
    }
  }

  return { ...drafts, Server, Radio, Dish } as unknown as Readonly<Record<DraftName, NativeSocketClass>>;
}

interface Groups {
  join(group: Buffer): void;
  leave(group: Buffer): void;
}

interface BoolOptions {
  getBoolOption(option: number): boolean;
  setBoolOption(option: number, value: boolean): void;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
