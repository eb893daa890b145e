/**
 * How handshakes fail: the faults the mechanisms share, and the ERROR command
 * (37/ZMTP, The NULL Security Mechanism; 27/ZAP, The Reply).
 *
 *   ERROR = 05 "ERROR" | reason length 1 | reason
 *
 * A reason of 300, 400 or 500 is a ZAP status; any other is text for a log.
 */
import type { ErrorCode } from "../../../core/errors.js";
import { encodeCommand } from "../codec/command.js";
import type { Fault, Refusal, Step } from "./mechanism.js";

/** The peer broke the rules of the handshake, or of the frames after it. */
export function protocolFault(code: ErrorCode, message: string): Fault {
  return { kind: "protocol", code, message };
}

/** The same as the step that ends a handshake. Nothing is sent: libzmq, too, closes silently. */
export function failed(code: ErrorCode, message: string): Step {
  return { failed: protocolFault(code, message) };
}

/** A command that does not belong where it came. */
export function unexpected(mechanism: string, expected: string): Step {
  return failed("ERR_ZMTP_UNEXPECTED_COMMAND", `${mechanism}: expected ${expected}, got another command`);
}

/**
 * The step after a peer was refused: it is told, as libzmq tells it, and the connection ends. A failure that is temporary
 * (status 300) is not told, so that the peer tries again (27/ZAP); neither is one of the service itself.
 */
export function refused(mechanism: string, why: false | Refusal): Step {
  if (why !== false && "code" in why) return failed(why.code, `${mechanism}: ${why.message}`);
  const { status, cause }: Exclude<Refusal, { code: ErrorCode }> = why === false ? { status: 400 } : why;
  return {
    ...(status === 300 ? {} : { send: [encodeCommand("ERROR", Buffer.from(`\u0003${status}`, "latin1"))] }),
    failed: {
      kind: "refused",
      code: "ERR_AUTHENTICATION",
      message: `${mechanism}: refused the peer with status ${status}`,
      status,
      cause,
    },
  };
}

/**
 * The step after the peer's ERROR.
 *
 * @param data what follows the command's name
 */
export function errorReceived(mechanism: string, data: Buffer): Step {
  if (data.length === 0 || data[0] !== data.length - 1) {
    return failed(
      "ERR_ZMTP_MALFORMED_COMMAND_ERROR",
      `${mechanism}: ERROR's reason does not fill the command`,
    );
  }
  const reason = data.toString("latin1", 1);
  if (reason === "300" || reason === "400" || reason === "500") {
    const message = `${mechanism}: the peer refused the credentials with status ${reason}`;
    return { failed: { kind: "auth", code: "ERR_AUTHENTICATION", message, status: Number(reason) } };
  }
  // The peer's text ends up in logs and terminals: at most 255 characters, all of them printable.
  const text = reason.replace(/[^\x20-\x7e]/g, "?");
  return {
    failed: {
      kind: "other",
      code: "ERR_HANDSHAKE",
      message: `${mechanism}: the peer ended the handshake: "${text}"`,
    },
  };
}
