/** What a device profile file holds. A profile describes a device; times in it are measured there or absent, never estimated. */
import { z } from "zod";

/** Raised when a field changes its meaning. */
export const PROFILE_SCHEMA_VERSION = 1;

const name = z.string().min(1);
const count = z.number().int().positive();

/** Name of a profile, and of its file. */
export const profileIdSchema = z.string().regex(/^[a-z0-9][a-z0-9-]*$/, "use lower-case letters, digits and hyphens");

export const deviceProfileSchema = z
  .strictObject({
    $schema: z.string().optional(),
    schemaVersion: z.literal(PROFILE_SCHEMA_VERSION),
    id: profileIdSchema,
    title: name.describe("One line for people."),
    kind: z
      .enum(["node-cpu", "node-wasm", "web-wasm", "web-webgpu", "node-webgpu", "cuda", "directml", "coreml"])
      .describe("Which kind of runner reaches the device."),
    hardware: z.strictObject({
      cpu: name.nullable().describe("Processor, or null where the profile stands for a class of devices."),
      cores: count.nullable(),
      isa: z.array(name).describe("Instruction sets that must be there, by the names of DeviceFacts."),
      memoryBytes: count.nullable(),
    }),
    os: z.strictObject({
      platform: name.nullable().describe("As Node names it: linux, darwin, win32; null for any."),
      arch: name.nullable().describe("As Node names it: x64, arm64; null for any."),
    }),
    runtime: z.strictObject({
      package: name,
      version: name.nullable().describe("null: whatever version is installed."),
      provider: name,
      threads: count,
      graphOptimizationLevel: z.enum(["disabled", "basic", "extended", "layout", "all"]),
    }),
    conditions: z
      .strictObject({
        governor: name.nullable(),
        charging: z.boolean().nullable(),
        notes: z.string().nullable(),
      })
      .describe("Under which conditions the device is meant to be measured; null where it does not matter."),
    channelAlignment: count.describe(
      "Widths in multiples of this suit the device's kernels. A hint for grids: measured staircases decide.",
    ),
    emulated: z
      .boolean()
      .describe("True where instructions are translated in software; such times never count as the device's."),
    match: z
      .strictObject({ cpuPattern: name.describe("Regular expression on the processor's name.") })
      .nullable()
      .describe("What else a machine must show to be this device."),
    measured: z
      .strictObject({
        table: name.nullable().describe("Path of a latency table, relative to this file."),
        date: z.iso.date(),
        machine: name.describe("The very machine that was measured."),
      })
      .nullable()
      .describe("null: nothing has been measured on such a device."),
    notes: z.array(name),
  })
  .refine((p) => !(p.emulated && p.measured?.table), {
    path: ["measured", "table"],
    message: "an emulated device cannot carry a latency table",
  });

export type DeviceProfile = z.infer<typeof deviceProfileSchema>;

/** The same as JSON Schema (draft 2020-12), for editors and other tools. */
export const deviceProfileJsonSchema = (): Record<string, unknown> => ({
  title: "edgefit device profile",
  ...z.toJSONSchema(deviceProfileSchema),
});
