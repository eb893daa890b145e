import { vi } from "vitest";

/** The socket of a pipe, which hears of everything and does nothing. */
export const pipeOwner = () => ({
  pipeOnMessages: vi.fn(),
  pipeOnRoom: vi.fn(),
  dropped: vi.fn(),
  pipeOnCommand: vi.fn(),
});
