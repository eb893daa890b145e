import { vi } from "vitest";

/** The socket of a pipe, which hears of everything and does nothing. */
export const pipeOwner = () => ({
  pipeOnMessages: vi.fn(),
  pipeOnRoom: vi.fn(),
  pipeOnDetached: vi.fn(),
  pipeOnConflated: vi.fn(),
  pipeOnCommand: vi.fn(),
});
