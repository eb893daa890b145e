import { configDefaults, defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Authorities that a machine adds are read at the start of each process, which takes as long as all else of it; no test needs
// them. So neither the processes of tests have them, nor those that tests start.
delete process.env.NODE_EXTRA_CA_CERTS;

/**
 * Files that open no socket and start no process (test/support/pure.ts sees to it), and keep no state in modules. They
 * share a process, which saves each of them a start and the reading of its imports.
 */
const PURE = [
  "test/core/**/!(accept-filter).test.ts",
  "test/docs-tables/**/*.test.ts",
  "test/sockets/**/!(capability|internal|pump).test.ts",
  "test/engine/frame.test.ts",
  "test/engine/zmtp/{codec,routing,threads,ws}/**/*.test.ts",
  "test/engine/zmtp/mechanism/!(libzmq).test.ts",
  "test/patterns/kit/{calls,contract,departure,driver,errors,options}.test.ts",
  "test/patterns/**/{simulation,*rules,*protocol,table,topic-tree,value-cache,snapshots,router-reader}.test.ts",
  "test/proxy/{rules,states,pairs,control-protocol,spec}.test.ts",
  "test/config/*.test.ts",
  "test/proxy/config/*.test.ts",
  "test/{proxy/policy,metrics}/rules.test.ts",
  "test/bench/{bodies,compare,report,sequences,statistics}.test.ts",
  "test/cli/{lines,format,node-lines,top-rules,transfer}.test.ts",
  "test/fuzz/zmtp/{datagrams,frames,handshake,ws}.test.ts",
  "test/cluster/!(node*).test.ts",
  "test/link/{rules,handshake,hostile,spec}.test.ts",
  "test/cluster/clients/!(node*|providers*).test.ts",
  "test/cluster/discovery/{beacon-rules,discovery,endpoint-slices,mdns-records,merge,names,parse}.test.ts",
  "test/cluster/{admission,connections}/!(node*).test.ts",
  "test/cluster/messaging/{hooks,items,query,route-backoff,route-hostile,route-replication,route-schedules,route-table,schema,service-wire,services,subscription-table,topic-ids,topics,waiting-sends,window}.test.ts",
  "test/cluster/requests/{balancer,schedules,wire}.test.ts",
  "test/cluster/sessions/{memory-store,rules,schedules,spec}.test.ts",
  "test/cluster/zre/{codec,rules,simulation}.test.ts",
  "test/support/{properties,seed}.test.ts",
  "test/types/*.test.ts",
  "test/testing/rules.test.ts",
];

/**
 * Files that open sockets, and leave nothing behind: each closes what it opens, mocks no module, keeps nothing in its own
 * modules, and its support has no hooks outside of a function, which would run for the first file only. They share
 * processes: a start, and the reading of shoal's modules, are a third of a second of computing for each file.
 */
const SHARED = [
  "test/bench/{cli,framing,options,patterns,peers,runner,slowed-build}.test.ts",
  "test/chaos/*.test.ts",
  "test/chaos/zmtp/black-hole.test.ts",
  "test/cli/!(pyzmq|signals|top).test.ts",
  "test/cluster/{admission,clients,connections,discovery,net}/!(*processes).test.ts",
  "test/cluster/messaging/!(*chaos|*processes).test.ts",
  "test/cluster/sessions/!(*chaos).test.ts",
  "test/cluster/node*(-discovery|-endpoints|-hostile|-interfaces|-registry|-simulated|-survey).test.ts",
  "test/cluster/zre/!(interop).test.ts",
  "test/contract/!(zeromq*).test.ts",
  "test/core/accept-filter.test.ts",
  "test/{demo,deploy,leak}/*.test.ts",
  "test/engine/{facets,select}.test.ts",
  "test/engine/zmtp/!(byte-bounds|cve|hostile-floods|lifetime|transferred).test.ts",
  "test/engine/zmtp/transport/{address,ipc,tcp-table,ws}.test.ts",
  "test/examples/*.test.ts",
  "test/fuzz/{patterns,proxy}/*.test.ts",
  "test/fuzz/zmtp/socket.test.ts",
  "test/metrics/serve.test.ts",
  "test/patterns/binary-star/{hostile,server}.test.ts",
  "test/patterns/black-box/*.test.ts",
  "test/patterns/kit/store/lmdb.test.ts",
  "test/patterns/titanic/{damage,durability,lmdb-store,postgres-store,titanic}.test.ts",
  "test/patterns/{clone,espresso,federation,freelance,kit,last-value-cache,load-balancer,majordomo,pirate,sequenced,suicidal-snail}/!(chaos|guide|pyzmq|stalled-worker|stopped-client|worker-thread).test.ts",
  "test/process/!(end-warning).test.ts",
  "test/proxy/{attack,churn,capture,control,drain,live-endpoints,loops,proxies}.test.ts",
  "test/proxy/policy/{flows,peers}.test.ts",
  "test/sockets/pump.test.ts",
  "test/testing/{network,node,processes,schedules,simulate}.test.ts",
  "test/vectors/*.test.ts",
];

/**
 * The contract of what goes over ws, once more with sockets of a page on the connecting side (test/contract/support/page.ts):
 * by default what differs most in a page, with SHOAL_LONG=1 all of it.
 */
const PAGE =
  process.env.SHOAL_LONG === "1"
    ? [
        "test/contract/{abort,close,codecs,disconnect,draft,endpoint-source,endpoints,events,fairness,high-water-mark}.test.ts",
        "test/contract/{messages,publish-options,queueing,request,round-trip,router,security-curve,security-plain}.test.ts",
        "test/contract/{stats,subscribers}.test.ts",
      ]
    : ["test/contract/{codecs,events,messages,round-trip,router,security-plain}.test.ts"];

/**
 * Files that take more than ten seconds, mostly by waiting, and are small: of those whose time is not known yet, small ones
 * come last. They begin first among those of their project, so that the run does not end with one of them alone.
 */
const LONG = [
  "leak/churn",
  "cli/docs",
  "bench/cli",
  "demo/demo",
  "patterns/binary-star/chaos",
  "leak/zmtp-connections",
  "cluster/node-rolling",
  "docs/docs",
  "interop/kill",
  "interop/restart",
  "patterns/clone/chaos",
  "cluster/node-processes",
  "chaos/majordomo",
  "process/life",
  "bench/peers",
  "interop/sockets-engines",
  "cluster/requests/node-chaos",
  "interop/kill-midway",
  "cluster/node-outages",
  "patterns/majordomo/worker-thread",
  "cli/signals",
  "cli/top",
].map((name) => `/test/${name}.test.ts`);

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const projects = [...new Set(sorted.map(({ project }) => project))];
    const isLong = ({ moduleId }: TestSpecification): boolean => LONG.some((name) => moduleId.endsWith(name));
    return projects.flatMap((project) => {
      const own = sorted.filter((file) => file.project === project);
      return [...own.filter(isLong), ...own.filter((file) => !isLong(file))];
    });
  }
}

/** Node.js 20 has the standard WebSocket behind a flag, which other runtimes do not know. */
const WITH_WEB_SOCKET = "WebSocket" in globalThis ? [] : ["--experimental-websocket", "--no-warnings"];

export default defineConfig({
  test: {
    // Sockets and native code: processes apart, and no second try for a test that fails.
    pool: "forks",
    // One more than the cores that it is meant for. Five took as long, at twice the load, and what has a time to keep kept it less.
    maxWorkers: 3,
    retry: 0,
    sequence: { sequencer: LongFirst },
    // Bounds for what hangs: a busy machine may take many times what a quiet one does.
    testTimeout: 40_000,
    hookTimeout: 40_000,
    teardownTimeout: 5_000,
    coverage: { provider: "v8", include: ["src/**"], reporter: ["text-summary", "html"] },
    projects: [
      {
        extends: true,
        test: {
          name: "pure",
          include: PURE,
          globalSetup: ["test/support/setup.ts"],
          setupFiles: ["test/support/pure.ts"],
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: "shared",
          include: SHARED,
          exclude: [...configDefaults.exclude, ...PURE],
          globalSetup: ["test/support/setup.ts"],
          setupFiles: ["test/support/shared.ts"],
          isolate: false,
        },
      },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["test/browser/**/*.test.ts"],
          globalSetup: ["test/support/setup.ts"],
          execArgv: WITH_WEB_SOCKET,
        },
      },
      {
        extends: true,
        test: {
          name: "page",
          include: PAGE,
          globalSetup: ["test/support/setup.ts"],
          setupFiles: ["test/support/shared.ts"],
          isolate: false,
          env: { SHOAL_CONTRACT: "page" },
          execArgv: WITH_WEB_SOCKET,
        },
      },
      {
        extends: true,
        test: {
          name: "sockets",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...PURE, ...SHARED, "test/browser/**"],
          globalSetup: ["test/support/setup.ts"],
        },
      },
    ],
  },
});
