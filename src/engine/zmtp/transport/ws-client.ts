/**
 * The client's side of an upgrade: a request of `node:http` on a connected stream.
 *
 *   request --101, with an offered subprotocol--> a stream of ZMTP
 *      `- another answer, no answer in time, or no HTTP: a fault, and the connection ends
 */
import { ignore } from "../../../core/waiter.js";
import { chosenMechanism } from "../mechanism/mechanism.js";
import {
  MAX_HEAD,
  NOT_HTTP,
  NOT_UPGRADED,
  newUpgradeKey,
  nextMaskKey,
  readResponse,
  upgradeHeaders,
} from "../ws/upgrade.js";
import { WsFraming } from "../ws/ws-framing.js";
import { DialFault, type Stream, type TransportOptions } from "./transport.js";
import { type HttpStream, handOverUpgraded, upgradeFault } from "./ws-paths.js";

export interface UpgradeTarget {
  readonly target: string;
  readonly host: string;
}

export function upgrade(
  stream: HttpStream,
  { target, host }: UpgradeTarget,
  options: TransportOptions,
  done: (result: Stream | DialFault) => void,
): () => void {
  const { socket } = stream;
  const { handshakeInterval } = options;
  const { name } = chosenMechanism(options);
  const key = newUpgradeKey();
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const finish = (): boolean => {
    clearTimeout(timer);
    const isFirst = !isOver;
    isOver = true;
    return isFirst;
  };
  const fail = (why: string): void => {
    if (!finish()) return;
    // A failed TLS handshake has a more precise reason.
    const fault = why === HUNG_UP ? stream.fault?.(true) : undefined;
    socket.destroy();
    done(new DialFault(fault ?? upgradeFault(why)));
  };
  if (handshakeInterval > 0)
    timer = setTimeout(
      () => fail(`the server did not answer the upgrade within ${handshakeInterval} ms`),
      handshakeInterval,
    ).unref();
  socket.on("error", ignore);
  const request = process.getBuiltinModule("node:http").request({
    createConnection: () => socket,
    path: target,
    headers: upgradeHeaders(host, key, name),
    maxHeaderSize: MAX_HEAD,
  });
  request.on("error", (error) => fail(reasonOf(error)));
  const onAnswer = (response: Parameters<typeof readResponse>[0]): string | undefined => {
    const agreed = readResponse(response, key, name);
    if ("protocol" in agreed) return agreed.protocol;
    fail(agreed.fault);
    return undefined;
  };
  request.on("response", onAnswer);
  // Without upgrade headers, `node:http` takes 101 as an interim answer.
  request.on("information", (answer) => {
    if (answer.statusCode === 101) fail(NOT_UPGRADED);
  });
  request.on("upgrade", (response, _socket, head) => {
    const protocol = isOver ? undefined : onAnswer(response);
    if (protocol === undefined || !finish()) return;
    handOverUpgraded(stream, new WsFraming(name, protocol, nextMaskKey), head, done);
  });
  request.end();
  return () => {
    finish();
    socket.destroy();
  };
}

const HUNG_UP = "the server hung up before it answered the upgrade to WebSocket";

function reasonOf({ code = "" }: NodeJS.ErrnoException): string {
  if (code === "HPE_HEADER_OVERFLOW") return "the server's answer is too long";
  return code.startsWith("HPE_") && code !== "HPE_INVALID_EOF_STATE" ? NOT_HTTP : HUNG_UP;
}
