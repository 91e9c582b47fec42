/** Devices on a queue: what other parts may use. */

export { httpBlobs, serveBlobs } from "./blobServer.js";
export { type BlobStore, cachedBlobs, folderBlobs, hashOf } from "./blobs.js";
export { connect, type Fleet, type QueueOptions } from "./connect.js";
export { type DeviceWorker, type DeviceWorkerOptions, openDeviceWorker } from "./deviceWorker.js";
export { classOf, type HubWorkerOptions, lendHub } from "./hubWorker.js";
export { type DeviceJob, deviceJobSchema, type JobAnswer, jobAnswerSchema, jobId } from "./jobs.js";
export { classQueue, deviceQueue, MACHINES, openRedis, PREFIX, parseQueue, type QueueAddress } from "./redis.js";
export { type Announcement, findBlobs, listDevices, nameSchema, offerBlobs } from "./registry.js";
export { type FleetRunnerOptions, openFleetRunner } from "./runner.js";
export { ATTEMPTS, Submitter } from "./submit.js";
