/** When a server writes a snapshot of a stream of sessions. */
import { describe, expect, it } from "vitest";
import { SNAPSHOT_DELAY, SNAPSHOT_RETRY, SNAPSHOT_SILENCE } from "../../src/sessions/bounds.js";
import { decodeMessage, type StreamMessage } from "../../src/sessions/nats-messages.js";
import { SnapshotSchedule, SnapshotWriter } from "../../src/sessions/nats-snapshots.js";
import type { NatsStream } from "../../src/sessions/nats-stream.js";
import type { StreamView } from "../../src/sessions/nats-view.js";
import { until } from "../contract/support/wait.js";

const due = { logBytes: 100, dueBytes: 100, isOther: false, pieceSeen: 0 };

describe("a snapshot", () => {
  it("is begun within the delay after it is due, however often it is asked", () => {
    const schedule = new SnapshotSchedule(() => 0.5);
    expect(schedule.begin({ ...due, logBytes: 99 }, 1_000)).toBeUndefined();
    for (const now of [2_000, 2_100, 2_400])
      expect(schedule.begin(due, now)).toBe(2_000 + SNAPSHOT_DELAY / 2);
    schedule.ended();
    expect(schedule.begin(due, 5_000)).toBe(5_000 + SNAPSHOT_DELAY / 2);
  });

  it("is begun at once where the stream grows faster than that", () => {
    const schedule = new SnapshotSchedule(() => 0.5);
    schedule.begin(due, 1_000);
    expect(schedule.begin({ ...due, logBytes: 200 }, 1_001)).toBe(1_001);
  });

  it("is left to another server as long as that one's pieces come", () => {
    const schedule = new SnapshotSchedule(() => 0.5);
    const other = { ...due, logBytes: 800, isOther: true, pieceSeen: 3_000 };
    expect(schedule.begin(other, 3_001)).toBe(3_000 + SNAPSHOT_SILENCE + SNAPSHOT_DELAY / 2);
    expect(schedule.begin({ ...other, isOther: false }, 3_002)).toBe(3_002);
  });

  it("that has failed is tried again soon, but not as fast as messages come, also where only the purge is left", () => {
    const schedule = new SnapshotSchedule(() => 0.5);
    schedule.begin(due, 1_000);
    schedule.failed(4_000);
    const at = 4_000 + SNAPSHOT_RETRY * 0.75;
    for (const logBytes of [0, 100, 800]) expect(schedule.begin({ ...due, logBytes }, 4_100)).toBe(at);
    schedule.ended();
    expect(schedule.begin({ ...due, logBytes: 0 }, at)).toBeUndefined();
  });
});

describe("a server that may not purge its stream", () => {
  it("writes snapshots all the same, and says what the purge was refused with", async () => {
    const view = {
      logBytes: 1_000,
      bytes: 100,
      isFollowing: true,
      isCutting: true,
      snapshotInProgress: undefined as string | undefined,
      snapshotSequence: 5,
      beginCut: () => 7,
      endCut: () => undefined,
      cutRecords: () => [].values(),
    };
    const refusal = new Error("permissions violation");
    const stream = {
      pieceBytes: 1_000,
      purge: async (): Promise<void> => {
        throw refusal;
      },
    };
    const writer = new SnapshotWriter(
      view as unknown as StreamView,
      stream as unknown as NatsStream,
      1,
      async (message, look) => {
        const { id, index } = decodeMessage(message) as StreamMessage;
        view.logBytes = 0;
        look({ type: "snapshot", id, next: index + 1, isWhole: true });
      },
    );
    writer.onMessage(undefined);
    await until(() => writer.error !== undefined, "a purge that was refused");
    await writer.stop();
    expect(writer.written).toBe(1);
    expect(writer.error).toBe(refusal);
    expect(writer.isLate).toBe(false);
  });
});
