/** The local runner, as others may use it. */
export { type LocalOptions, type LocalRunner, openLocalRunner } from "./runner.js";
