/** The local runner, as others may use it. */

export { type MemoryUse, measureMemory } from "./memoryUse.js";
export { type LocalOptions, type LocalRunner, openLocalRunner } from "./runner.js";
