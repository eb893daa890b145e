import { vi } from "vitest";
import { Pipe, type PipeEffects, type PipeOptions } from "../../../../src/engine/zmtp/pipe.js";
import { ReceiveBudget } from "../../../../src/engine/zmtp/receive-limits.js";

/** The socket of a pipe, which hears of everything and does nothing. */
export const pipeOwner = () => ({
  pipeOnMessages: vi.fn(),
  pipeOnRoom: vi.fn(),
  dropped: vi.fn(),
  pipeOnCommand: vi.fn(),
});

/** A pipe without bounds but the marks of 10 messages, and what is given. */
export function pipeOf(
  owner: PipeEffects,
  options: Partial<PipeOptions> = {},
  outlives = true,
  budget = new ReceiveBudget(() => 0),
): Pipe {
  const all: PipeOptions = {
    sendHighWaterMark: 10,
    receiveHighWaterMark: 10,
    sendHighWaterMarkBytes: 0,
    receiveHighWaterMarkBytes: 0,
    maxMessageSize: -1,
    maxFrames: 65_536,
    conflate: false,
    early: true,
    ...options,
  };
  return new Pipe(owner, all, budget, "test://pipe", outlives);
}
