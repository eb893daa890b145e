/** Nobody observes a page's sockets; stands in for sockets/observation.ts. */
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
export const DEBUG = { enabled: false };
export function logEvent(): void {}
