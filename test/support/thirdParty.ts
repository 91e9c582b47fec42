/** The ONNX models in the folder of third-party files, as paths below it; empty where that folder is missing. */
import { readdirSync } from "node:fs";
import { hasShared, sharedPath } from "./shared.js";

export const thirdPartyModels: string[] = hasShared
  ? readdirSync(sharedPath("models"), { recursive: true, encoding: "utf8" })
      .filter((f) => f.endsWith(".onnx"))
      .map((f) => `models/${f}`)
      .sort()
  : [];
