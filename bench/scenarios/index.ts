/** All scenarios, in the order of the suite. */
import type { Scenario } from "../contract.js";
import { clone } from "./clone.js";
import { cloneSet } from "./clone-set.js";
import { clusterForward, clusterForwardSecure } from "./cluster-forward.js";
import { clusterIdle, clusterPublish, clusterRoutes } from "./cluster-messages.js";
import { connectionStorm } from "./connection-storm.js";
import { curve } from "./curve.js";
import { fanIn } from "./fan-in.js";
import { fanOut } from "./fan-out.js";
import { idleMemory } from "./idle-memory.js";
import { lastValueCache } from "./last-value-cache.js";
import { latency } from "./latency.js";
import { latencyUnderLoad } from "./latency-under-load.js";
import { majordomo, majordomoUnderLoad } from "./majordomo.js";
import { majordomoGrowth } from "./majordomo-growth.js";

import { pipeline } from "./pipeline.js";
import { proxy } from "./proxy.js";
import { requestReply } from "./request-reply.js";
import { service } from "./service.js";
import { sessions } from "./sessions.js";
import { slowConsumer } from "./slow-consumer.js";
import { startUp } from "./start-up.js";
import { subscriptions } from "./subscriptions.js";
import { threads } from "./threads.js";
import { throughput } from "./throughput.js";
import { titanic } from "./titanic.js";
import { tls, ws } from "./transports.js";

export const SCENARIOS: readonly Scenario[] = [
  throughput,
  latency,
  latencyUnderLoad,
  fanOut,
  fanIn,
  pipeline,
  proxy,
  requestReply,
  connectionStorm,
  idleMemory,
  curve,
  ws,
  tls,
  threads,
  slowConsumer,
  subscriptions,
  startUp,
  majordomo,
  majordomoUnderLoad,
  majordomoGrowth,
  titanic,
  clone,
  cloneSet,
  lastValueCache,
  clusterIdle,
  clusterForward,
  clusterForwardSecure,
  clusterPublish,
  clusterRoutes,
  service,
  sessions,
];
