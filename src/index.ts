/**
 * The front door: sockets, envelopes, codecs, security, errors.
 *
 * @module
 */

export type { HttpServerEndpoint } from "./core/schemes/grammar.js";
export { ENGINE_NAMES } from "./engine/select.js";
export {
  FAILURES,
  type FailureReason,
  type HandlerErrorDetails,
  ServiceError,
} from "./kit/errors.js";
export { Proxy } from "./proxy/proxy.js";
export { type Capability, capability, version } from "./sockets/capability.js";
export { msgpack } from "./sockets/codec.js";
export * from "./sockets/index.js";
export type { SendOptions } from "./sockets/outbox.js";
export {
  type Certificate,
  formatCertificate,
  parseCertificate,
  readCertificate,
  writeCertificate,
} from "./sockets/security/certificate.js";
export { type CurveKeyPair, curveKeyPair, curvePublicKey } from "./sockets/security/curve-keys.js";
export { Stream, type StreamConnectOptions, type StreamOptions } from "./sockets/stream.js";
