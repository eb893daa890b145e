/** Replaces sockets/observation.ts: pages lack node:diagnostics_channel. */
export const OBSERVABLE = false;
export function isSendObserved(): boolean {
  return false;
}
export function isReceiveObserved(): boolean {
  return false;
}
export function observeSend(): undefined {}
export function observeTrySend(): undefined {}
export function observeReceive(): undefined {}
export function logEvent(): void {}
