/** The commands of edgefit, in the order in which `--help` lists them. */
import { agent } from "./agent.js";
import type { AnyCommand } from "./command.js";
import { compare } from "./compare.js";
import { demo } from "./demo.js";
import { deploy } from "./deploy.js";
import { devices } from "./devices.js";
import { fit } from "./fit.js";
import { hub } from "./hub.js";
import { importCommand } from "./import.js";
import { inspect } from "./inspect.js";
import { profile } from "./profile.js";
import { quantize } from "./quantize.js";
import { queue } from "./queue.js";
import { sample } from "./sample.js";
import { train } from "./train.js";
import { validate } from "./validate.js";
import { verify } from "./verify.js";
import { worker } from "./worker.js";

export const commands: readonly AnyCommand[] = [
  fit,
  compare,
  inspect,
  importCommand,
  profile,
  quantize,
  validate,
  verify,
  devices,
  hub,
  agent,
  train,
  worker,
  queue,
  sample,
  deploy,
  demo,
];
