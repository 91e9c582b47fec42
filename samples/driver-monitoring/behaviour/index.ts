/** The temporal logic, as pages and programs use it. */
export type { Alert, AlertKind, AlertLevel } from "./alerts.js";
export type { AttentionReport, Zone } from "./attention.js";
export type { Drowsiness } from "./drowsiness.js";
export type { LidState } from "./eyelids.js";
export { type BehaviourEvent, DriverMonitor, type DriverState } from "./monitor.js";
export type { Direction, EyeReading, FaceReading, HeadPose, Observation } from "./observation.js";
export { type BehaviourSettings, defaultBehaviour } from "./settings.js";
