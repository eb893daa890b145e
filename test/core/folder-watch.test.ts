/** When changes have settled: on a clock that the test moves. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FolderWatch } from "../../src/core/folder-watch.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a folder's changes", () => {
  it("are reported once when there are no more for a while", () => {
    const onChange = vi.fn();
    const watch = new FolderWatch(200, 2_000, { onChange });
    watch.note();
    vi.advanceTimersByTime(150);
    watch.note();
    vi.advanceTimersByTime(199);
    expect(onChange).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onChange.mock.calls).toEqual([[true]]);
    vi.advanceTimersByTime(5_000);
    expect(onChange).toHaveBeenCalledTimes(1);
  });

  it("are reported in any case when they do not end", () => {
    const onChange = vi.fn();
    const watch = new FolderWatch(200, 2_000, { onChange });
    for (let ms = 0; ms < 2_000; ms += 100) {
      watch.note();
      vi.advanceTimersByTime(100);
      expect(onChange).toHaveBeenCalledTimes(ms < 1_900 ? 0 : 1);
    }
  });

  it("are not reported once it is closed", () => {
    const onChange = vi.fn();
    const watch = new FolderWatch(200, 2_000, { onChange });
    watch.note();
    watch.close();
    watch.note();
    vi.advanceTimersByTime(5_000);
    expect(onChange).not.toHaveBeenCalled();
  });
});
