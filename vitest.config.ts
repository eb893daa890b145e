import { configDefaults, defineConfig } from "vitest/config";

/**
 * Files that open no socket and start no process (test/support/pure.ts sees to it), and keep no state in modules. They
 * share a process, which saves each of them a start and the reading of its imports.
 */
const PURE = [
  "test/core/**/*.test.ts",
  "test/docs-tables/**/*.test.ts",
  "test/sockets/**/!(capability|internal|pump).test.ts",
  "test/engine/frame.test.ts",
  "test/engine/zmtp/{codec,routing}/**/*.test.ts",
  "test/engine/zmtp/mechanism/!(libzmq).test.ts",
  "test/patterns/kit/{calls,contract,driver,errors,options}.test.ts",
  "test/patterns/**/{simulation,*rules,*protocol,table,topic-tree,value-cache,snapshots,router-reader}.test.ts",
  "test/proxy/{rules,states,pairs,control-protocol,spec}.test.ts",
  "test/config/*.test.ts",
  "test/proxy/config/*.test.ts",
  "test/{proxy/policy,metrics}/rules.test.ts",
  "test/bench/{bodies,compare,report,sequences,statistics}.test.ts",
  "test/cli/{lines,format,node-lines,top-rules,transfer}.test.ts",
  "test/fuzz/zmtp/{frames,handshake}.test.ts",
  "test/cluster/!(node*).test.ts",
  "test/cluster/clients/!(node*|providers*).test.ts",
  "test/cluster/discovery/{beacon-rules,discovery,endpoint-slices,mdns-records,merge,names,parse}.test.ts",
  "test/cluster/{admission,connections}/!(node*).test.ts",
  "test/cluster/zre/{codec,rules,simulation}.test.ts",
  "test/support/seed.test.ts",
  "test/testing/rules.test.ts",
];
export default defineConfig({
  test: {
    // Sockets and native code: processes apart, and no second try for a test that fails.
    pool: "forks",
    // One more than the cores that it is meant for: a third of the time a test waits for processes and timers.
    maxWorkers: 3,
    retry: 0,
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
          name: "sockets",
          include: ["test/**/*.test.ts"],
          exclude: [...configDefaults.exclude, ...PURE],
          globalSetup: ["test/support/setup.ts"],
        },
      },
    ],
  },
});
