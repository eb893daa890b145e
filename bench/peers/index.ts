/** All implementations, in the order of the tables. */
import type { Contender } from "../contract.js";
import { libzmq } from "./libzmq.js";
import { nats } from "./nats.js";
import { shoalContenders, zeromq } from "./node-contender.js";
import { nodeNet } from "./node-net.js";

export const CONTENDERS: readonly Contender[] = [...shoalContenders, zeromq, libzmq, nodeNet, nats];
