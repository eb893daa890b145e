import zmq from "./index.js";

export const {
  version,
  capability,
  curveKeyPair,
  context,
  Context,
  Observer,
  Proxy,
  Socket,
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Stream,
  Subscriber,
  XPublisher,
  XSubscriber,
} = zmq;
export default zmq;
